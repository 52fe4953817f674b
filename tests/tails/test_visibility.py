"""Which events there are, for whom, and which are swept: every row of the table in ``flowstate/v1/events.proto``."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate.v1.flow_service_pb2 import CancelActionRequestRequest
from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
    AUDIENCE_HISTORY,
    AUDIENCE_INTERNAL,
    SCOPE_KIND_ORG,
    SCOPE_KIND_REQUEST,
    SCOPE_KIND_SESSION,
    SCOPE_KIND_USER,
)
from flowstate_server.flows import (
    Audience,
    ClientView,
    Context,
    Org,
    Request,
    Session,
    User,
)
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames
from tests.support.hosted import hosted, play
from tests.support.wire import TRUSTED, read_all
from tests.tails.seen_events import Row, both, rows


class Chat(BaseModel):
    count: int = 0
    hidden: int = 0
    by_id: dict[str, int] = {}


class Person(BaseModel):
    name: str = ""
    secret: str = ""


class Work(BaseModel):
    steps: int = 0


SHOWN: dict[str, Any] = {
    "session": Session(
        state=Chat,
        client=ClientView(expose=["count", "by_id"], derived={"twice": lambda view: view.state.count * 2}),
    ),
    "user": User(state=Person, client=ClientView(expose=["name"])),
    "org": Org(state=Person),
    "request": Request(state=Work),
}


async def test_the_life_of_a_request(store: Store) -> None:
    async def body(ctx: Context) -> str:
        await ctx.status("soon", 0.5)
        return "out"

    async with hosted(play(body), store=store) as server:
        await server.run("r1", session_id="s1", org_id="o1")
        client, trusted = await both(server)
    assert rows(client) == [
        ("request.created", AUDIENCE_CLIENT, False),
        ("request.in_progress", AUDIENCE_CLIENT, False),
        ("status", AUDIENCE_CLIENT, True),
        ("request.completed", AUDIENCE_CLIENT, False),
    ]
    assert rows(trusted) == [
        ("request.created", AUDIENCE_CLIENT, False),
        ("request.in_progress", AUDIENCE_CLIENT, False),
        ("block.started", AUDIENCE_INTERNAL, True),
        ("status", AUDIENCE_CLIENT, True),
        ("block.completed", AUDIENCE_INTERNAL, True),
        ("request.completed", AUDIENCE_CLIENT, False),
    ]
    created, started, status, completed = client
    assert (created.request_created.flow_kind, created.request_created.action) == ("play", "play")
    assert started.request_in_progress.attempt == 1
    assert (status.status_update.text, status.status_update.progress) == ("soon", 0.5)
    assert completed.request_completed.output.json == '"out"'
    assert {one.scope: one.version for one in completed.request_completed.scope_versions} == {
        SCOPE_KIND_SESSION: 0,
        SCOPE_KIND_USER: 0,
        SCOPE_KIND_ORG: 0,
    }
    assert [event.block_path for event in trusted if event.type == "block.started"] == [["play_block"]]
    for event in trusted:
        assert (event.request_id, event.session_id) == ("r1", "s1")
        assert event.event_id
        assert event.session_sequence == event.sequence


async def test_items_are_for_their_audiences(store: Store) -> None:
    client_only, history_only = (Audience.CLIENT,), (Audience.HISTORY,)

    async def body(ctx: Context) -> None:
        for audiences in ((Audience.CLIENT, Audience.HISTORY), client_only, history_only, ()):
            async with ctx.message(audiences=audiences) as message:
                await message.write("text")
            await ctx.add_item("custom", 1, audiences=audiences)

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        client, trusted = await both(server)

    def of(audience: int) -> list[Row]:
        return [
            ("item.added", audience, False),
            ("item.delta", audience, True),
            ("item.done", audience, False),
            ("item.added", audience, False),
            ("item.done", audience, False),
        ]

    assert rows(client, "item.") == of(AUDIENCE_CLIENT) * 2
    assert rows(trusted, "item.") == [
        *of(AUDIENCE_CLIENT),
        *of(AUDIENCE_CLIENT),
        *of(AUDIENCE_HISTORY),
        *of(AUDIENCE_INTERNAL),
    ]
    done = [event.item_done.item for event in trusted if event.type == "item.done"]
    assert [list(item.audiences) for item in done] == [
        *[[AUDIENCE_CLIENT, AUDIENCE_HISTORY]] * 2,
        *[[AUDIENCE_CLIENT]] * 2,
        *[[AUDIENCE_HISTORY]] * 2,
        *[[]] * 2,
    ]
    assert [item.index for item in done] == list(range(8))


async def test_custom_events_are_for_whom_the_flow_says(store: Store) -> None:
    async def body(ctx: Context) -> None:
        await ctx.emit("default", {"a": 1})
        for audience in Audience:
            for transient in (False, True):
                await ctx.emit(audience.value, audience=audience, transient=transient)

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        client, trusted = await both(server)
    assert rows(client, "custom") == [
        ("custom", AUDIENCE_CLIENT, False),
        ("custom", AUDIENCE_CLIENT, True),
    ]
    assert rows(trusted, "custom") == [
        ("custom", AUDIENCE_INTERNAL, False),
        *[("custom", audience, transient) for audience in _wire_audiences() for transient in (False, True)],
    ]
    first = next(event.custom for event in trusted if event.type == "custom")
    assert (first.name, first.data.json) == ("default", '{"a":1}')


def _wire_audiences() -> list[int]:
    wire = {
        Audience.CLIENT: AUDIENCE_CLIENT,
        Audience.INTERNAL: AUDIENCE_INTERNAL,
        Audience.HISTORY: AUDIENCE_HISTORY,
    }
    return [wire[audience] for audience in Audience]


async def _writes(ctx: Context) -> None:
    org = ctx.org
    assert org is not None
    await ctx.session.patch_state(count=1)
    await ctx.session.set_state_record("by_id", "a/b", 7)
    await ctx.session.patch_state(hidden=1)
    await ctx.session.patch_state(count=2, hidden=2)
    await ctx.session.delete_state_record("by_id", "a/b")
    await ctx.session.patch_state(by_id={f"k{n}": n for n in range(3_000)})
    await ctx.user.patch_state(name="n", secret="s")
    await ctx.user.patch_state(secret="t")
    await org.patch_state(name="n")
    await ctx.request.patch_state(steps=1)


@pytest.mark.parametrize("kept", [False, True])
async def test_state_changes_are_projected(store: Store, kept: bool) -> None:
    flow = play(_writes, persist_state_changes=kept, **SHOWN)
    async with hosted(flow, store=store) as server:
        await server.run("r1", org_id="o1")
        client, trusted = await both(server)
    assert rows(trusted, "state_change") == [("state_change", AUDIENCE_CLIENT, not kept)] * 9 + [
        ("state_change", AUDIENCE_INTERNAL, True)
    ]
    assert [_told(event) for event in client if event.type == "state_change"] == [
        (SCOPE_KIND_SESSION, 1, {"/count": 1}, [], ["twice"]),
        (SCOPE_KIND_SESSION, 2, {"/by_id": {"a/b": 7}}, [], ["twice"]),
        (SCOPE_KIND_SESSION, 3, {}, [], ["twice"]),
        (SCOPE_KIND_SESSION, 4, {"/count": 2}, [], ["twice"]),
        (SCOPE_KIND_SESSION, 5, {}, ["/by_id/a~1b"], ["twice"]),
        (SCOPE_KIND_SESSION, 6, {}, [], ["by_id", "twice"]),
        (SCOPE_KIND_USER, 1, {"/name": "n"}, [], []),
    ]
    everything = [_told(event) for event in trusted if event.type == "state_change"]
    assert everything[3] == (SCOPE_KIND_SESSION, 4, {"/count": 2, "/hidden": 2}, [], [])
    assert [(scope, version) for scope, version, *_ in everything[6:]] == [
        (SCOPE_KIND_USER, 1),
        (SCOPE_KIND_USER, 2),
        (SCOPE_KIND_ORG, 1),
        (SCOPE_KIND_REQUEST, 1),
    ]
    ends = {one.scope: one.version for one in client[-1].request_completed.scope_versions}
    assert ends == {SCOPE_KIND_SESSION: 6, SCOPE_KIND_USER: 2, SCOPE_KIND_ORG: 1}


def _told(event: Event) -> tuple[int, int, dict[str, Any], list[str], list[str]]:
    change = event.state_change
    assert change.version == change.previous_version + 1
    changed = {path: json.loads(value.json) for path, value in change.changed.items()}
    return change.scope, change.version, changed, list(change.removed), list(change.stale)


async def test_the_metadata_of_the_session(store: Store) -> None:
    async def body(ctx: Context) -> None:
        await ctx.session.set_metadata(title="t", tags=["a"], metadata={"k": "v"})

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        client, _ = await both(server)
    assert rows(client, "session.") == [("session.metadata_changed", AUDIENCE_CLIENT, False)]
    (changed,) = [event.session_metadata_changed for event in client if event.type.startswith("session.")]
    assert (sorted(changed.paths), changed.version) == (["metadata", "tags", "title"], 2)


async def test_other_ends_of_a_request(store: Store) -> None:
    async def body(ctx: Context) -> None:
        await asyncio.Event().wait()

    async def large(ctx: Context) -> str:
        return "x" * 70_000

    async def crash(ctx: Context) -> None:
        raise ValueError("inside")

    flow = play({"play": body, "large": large, "crash": crash})
    async with hosted(flow, store=store) as server:
        await server.dispatch("aborted")
        await server.flows.CancelActionRequest(
            CancelActionRequestRequest(request_id="aborted", reason="enough")
        )
        await server.dispatch("late", execution_timeout={"nanos": 20_000_000})
        await server.run("large", "large")
        await server.run("crash", "crash")
        ends = {name: await both(server, name) for name in ("aborted", "late", "large", "crash")}
    last = {name: client[-1] for name, (client, _) in ends.items()}
    assert {name: trusted[-1] for name, (_, trusted) in ends.items()} == last
    assert rows(list(last.values())) == [
        ("request.aborted", AUDIENCE_CLIENT, False),
        ("request.failed", AUDIENCE_CLIENT, False),
        ("request.completed", AUDIENCE_CLIENT, False),
        ("request.failed", AUDIENCE_CLIENT, False),
    ]
    assert last["aborted"].request_aborted.reason == "enough"
    assert last["late"].request_failed.failure.reason == "ACTION_TIMEOUT"
    assert last["large"].request_completed.output_omitted
    assert not last["large"].request_completed.HasField("output")
    crashed = last["crash"].request_failed.failure
    assert (crashed.reason, crashed.message) == ("INTERNAL", "the action failed")
    assert crashed.error_id


async def test_what_is_swept_and_what_stays(store: Store) -> None:
    from flowstate_server.engine.settings import EngineSettings

    async def body(ctx: Context) -> None:
        await _writes(ctx)
        async with ctx.message() as message:
            await message.write("text")
        await ctx.status("soon")
        await ctx.emit("kept")
        await ctx.emit("gone", transient=True)
        await ctx.session.set_metadata(title="t")

    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with hosted(play(body, **SHOWN), store=store, settings=settings) as server:
        await server.run("r1", org_id="o1")
        await server.engine.sweeper.sweep()
        request = TailEventsRequest(request_id="r1")
        trusted = check_frames(await read_all(server.events.TailEvents(request, metadata=TRUSTED)))
    assert [event.type for event in trusted] == [
        "request.created",
        "request.in_progress",
        "item.added",
        "item.done",
        "custom",
        "session.metadata_changed",
        "request.completed",
    ]
    assert trusted[3].item_done.item.content.json
