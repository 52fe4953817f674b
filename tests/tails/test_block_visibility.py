"""What is told of blocks, routers and their states, and that only the trusted plane is told it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
    AUDIENCE_INTERNAL,
    SCOPE_KIND_BLOCK,
)
from flowstate_server.flows import (
    ActionError,
    Context,
    action,
    define_flow,
    handler,
    router,
    sequencer,
)
from flowstate_server.stores.store import Store
from tests.support.hosted import hosted, play
from tests.tails.seen_events import both, rows


async def test_a_block_that_fails_is_told_to_the_trusted_plane(store: Store) -> None:
    @handler
    async def inner(value: Any, ctx: Context) -> None:
        raise ValueError("inside")

    async def body(ctx: Context) -> None:
        try:
            await ctx.execute(inner, None)
        except ValueError:
            await ctx.emit("caught")
        raise ActionError("TOLD", "to clients")

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        client, trusted = await both(server)
    assert rows(trusted, "block.") == [
        ("block.started", AUDIENCE_INTERNAL, True),
        ("block.started", AUDIENCE_INTERNAL, True),
        ("block.failed", AUDIENCE_INTERNAL, False),
        ("block.failed", AUDIENCE_INTERNAL, False),
    ]
    inside, outside = [event for event in trusted if event.type == "block.failed"]
    assert list(inside.block_path) == ["play_block", "inner"]
    assert list(outside.block_path) == ["play_block"]
    assert "inside" not in str(trusted)
    assert inside.block_failed.failure.reason
    assert rows(client) == [
        ("request.created", AUDIENCE_CLIENT, False),
        ("request.in_progress", AUDIENCE_CLIENT, False),
        ("request.failed", AUDIENCE_CLIENT, False),
    ]
    assert client[-1].request_failed.failure.reason == "TOLD"


class Counts(BaseModel):
    secret_count: int = 0


@handler(parent_state=Counts)
async def count_up(value: Any, ctx: Context) -> str:
    await ctx.parent_state(Counts).inc_state(secret_count=1)
    return "counted"


async def test_what_routers_decide_and_states_of_blocks_are_told_to_the_trusted_plane(store: Store) -> None:
    way = router("way", {"secret-route": count_up}, choose=lambda value, ctx: "secret-route", state=Counts)
    plan = sequencer("plan", input=object).step(way)
    flow = define_flow("play", actions={"play": action(block=plan)}, persist_state_changes=True)
    async with hosted(flow, store=store) as server:
        await server.run("r1")
        client, trusted = await both(server)
    kinds = ("router.", "state_change")
    assert rows(trusted, *kinds) == [
        ("router.decided", AUDIENCE_INTERNAL, False),
        ("state_change", AUDIENCE_INTERNAL, True),
    ]
    decided, change = [event for event in trusted if event.type.startswith(kinds)]
    assert (decided.router_decided.route, list(decided.block_path)) == ("secret-route", ["plan", "way"])
    assert change.state_change.scope == SCOPE_KIND_BLOCK
    assert list(change.block_path) == ["plan", "way", "count_up"]
    assert list(change.state_change.owner_path) == ["plan", "way"]
    assert change.state_change.changed["/secret_count"].json == "1"
    assert not rows(client, *kinds)
    assert "secret" not in str(client)
