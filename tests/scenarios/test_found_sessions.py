"""Sessions among others: changed by many at once, resolved by many at once, walked through while more are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    AlreadyExists,
    FlowStateClient,
    InvalidArgument,
    OrgBindingMismatch,
    Session,
    SessionMetadataChanged,
    SessionNotFound,
    VersionMismatch,
)
from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes import CreateSession
from flowstate_server.testing.fixtures import StartServer
from tests.support.store_urls import ALL, SHARED, NewStore

CALLERS = 50


class Described(BaseModel):
    title: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None


@handler
async def describe(described: Described, ctx: Context) -> dict[str, Any]:
    await ctx.session.set_metadata(**described.model_dump(exclude_none=True))
    return dict(ctx.session.metadata.metadata)


ACTIONS = {"describe": action(input=Described, block=describe)}
app = create_flowstate(flows=[define_flow(kind=kind, actions=ACTIONS) for kind in ("desk", "shop")])


@pytest.fixture(
    params=[*((kind, 1) for kind in ALL), *((kind, 2) for kind in SHARED)],
    ids=lambda one: "{} x {}".format(*one),
)
async def clients(
    request: pytest.FixtureRequest, start_server: StartServer, new_store: NewStore
) -> AsyncIterator[Sequence[FlowStateClient]]:
    """Two clients of ada, of two servers on one store or of one."""
    kind, count = request.param
    url = await new_store(kind)
    servers = [await start_server(app, store=url) for _ in range(count)]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(servers[number % count].connect(user="ada"))
            for number in range(2)
        ]


async def ids(client: FlowStateClient, **query: Any) -> list[str]:
    return [session.id async for session in client.sessions.list(**query)]


async def test_updates_of_different_fields_all_land(clients: Sequence[FlowStateClient]) -> None:
    session = await clients[0].sessions.create("desk", session_id="s", tags=["old"])
    await asyncio.gather(
        clients[0].sessions.update("s", title="T"),
        clients[1].sessions.update("s", description="D"),
        clients[1].sessions.update("s", tags=["new"]),
        clients[0].sessions.update("s", metadata={"n": 1}),
        clients[1].flows.call("desk", "describe", {}, session_id="s"),
    )
    for client in clients:
        now = await client.sessions.get("s")
        assert (now.title, now.description, now.tags, now.metadata) == ("T", "D", ("new",), {"n": 1})
        assert now.version == session.version + 4
        assert (await ids(client, tags=["new"]), await ids(client, tags=["old"])) == (["s"], [])
        assert (await ids(client, metadata={"n": 1}), await ids(client, metadata={"n": 1.0})) == (["s"], [])
        assert await client.sessions.update("s", title="T", tags=["new"], metadata={"n": 1}) == now


async def test_an_update_holds_to_its_version_and_is_done_once(clients: Sequence[FlowStateClient]) -> None:
    here, there = clients
    await here.sessions.create("desk", session_id="s")
    first = await here.sessions.update("s", title="one", at=1, idempotency_key="k")
    assert (first.title, first.version) == ("one", 2)
    with pytest.raises(VersionMismatch) as caught:
        await there.sessions.update("s", title="two", at=1)
    assert (caught.value.metadata["current"], caught.value.metadata["expected"]) == ("2", "1")
    again = await there.sessions.update("s", title="one", at=1, idempotency_key="k")
    assert again == first
    with pytest.raises(SessionNotFound):
        await there.sessions.update("unknown", title="x")
    answers = await asyncio.gather(
        *(clients[n % 2].sessions.update("s", title=f"race {n}", at=2) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Session) for answer in answers) == 1
    assert sum(isinstance(answer, VersionMismatch) for answer in answers) == 9


async def test_fifty_callers_resolve_one_session(clients: Sequence[FlowStateClient]) -> None:
    for metadata in ({"ticker": "ACME", "deep": {"b": 1, "a": [1.0]}}, {}):
        callers = (
            clients[n % 2].sessions.resolve("desk", metadata=metadata, title=f"caller {n}")
            for n in range(CALLERS)
        )
        resolved = await asyncio.gather(*callers)
        assert len({session.id for session in resolved}) == 1
        [created] = [session for session in resolved if session.created]
        assert {session.title for session in resolved} == {created.title}
        assert created.metadata == metadata
    assert len(await ids(clients[0])) == 2


async def test_what_is_looked_for_is_flow_user_and_metadata(clients: Sequence[FlowStateClient]) -> None:
    here, there = clients
    made = await here.sessions.resolve("desk", metadata={"a": {"x": 1, "y": 2}, "b": 1}, org_id="acme")
    same = await there.sessions.resolve("desk", metadata={"b": 1, "a": {"y": 2, "x": 1}})
    assert (same.id, same.created, same.org_id) == (made.id, False, "acme")
    assert (await there.sessions.resolve("desk", metadata=dict(made.metadata), org_id="acme")).id == made.id
    others = [
        await there.sessions.resolve("shop", metadata=dict(made.metadata)),
        await there.sessions.resolve("desk", metadata={"a": {"x": 1, "y": 2}, "b": 1.0}),
        await there.sessions.resolve("desk", metadata={"a": {"x": 1, "y": 2}}),
        await there.sessions.create("desk", metadata=made.metadata),
    ]
    assert len({made.id, *(other.id for other in others)}) == 5
    assert (await here.sessions.resolve("desk", metadata=dict(made.metadata))).id == made.id
    with pytest.raises(OrgBindingMismatch) as caught:
        await there.sessions.resolve("desk", metadata=dict(made.metadata), org_id="other")
    assert caught.value.metadata["session_id"] == made.id


async def test_a_caller_moves_the_key_and_a_flow_does_not(clients: Sequence[FlowStateClient]) -> None:
    here, there = clients
    one, two, three = {"n": 1}, {"n": 2}, {"n": 3}
    made = await here.sessions.resolve("desk", metadata=one)
    flow_set = await there.flows.call("desk", "describe", {"metadata": two}, session_id=made.id)
    assert flow_set == two
    assert (await here.sessions.resolve("desk", metadata=one)).id == made.id
    assert await ids(there, metadata=two) == [made.id]

    await there.sessions.update(made.id, metadata=two)  # as it is, by the flow; what is looked for moves
    assert (await here.sessions.resolve("desk", metadata=two)).id == made.id
    other = await here.sessions.resolve("desk", metadata=one)
    assert other.created
    for session, taken in ((made, one), (other, two)):
        with pytest.raises(AlreadyExists) as caught:
            await there.sessions.update(session.id, metadata=taken, title="lost")
        holder = other if session is made else made
        assert caught.value.metadata["session_id"] == holder.id
        assert f"Another session is resolved by this metadata: {holder.id}" in str(caught.value)
        assert (await there.sessions.get(session.id)).title == ""
    await there.sessions.update(other.id, metadata=three, idempotency_key="k")
    await there.sessions.update(made.id, metadata=one)
    # A repeat of what was done is that, though it would be refused by now.
    await here.sessions.resolve("desk", metadata=two)
    await there.sessions.update(other.id, metadata=three, idempotency_key="k")
    assert [(await here.sessions.resolve("desk", metadata=found)).id for found in (one, three)] == [
        made.id,
        other.id,
    ]


async def test_fifty_updates_of_a_resolved_session_all_land(clients: Sequence[FlowStateClient]) -> None:
    made = await clients[0].sessions.resolve("desk", metadata={"n": "first"})
    updates = (clients[n % 2].sessions.update(made.id, metadata={"n": n}) for n in range(CALLERS))
    updated = await asyncio.gather(*updates)
    assert sorted(session.version for session in updated) == list(range(2, CALLERS + 2))
    [last] = [session for session in updated if session.version == CALLERS + 1]
    for n in range(CALLERS):
        found = await clients[n % 2].sessions.resolve("desk", metadata={"n": n})
        assert (found.id == made.id) == (last.metadata["n"] == n)
        assert found.created == (found.id != made.id)


async def test_movers_at_once_leave_one_session_for_each_key(clients: Sequence[FlowStateClient]) -> None:
    made = [await clients[0].sessions.resolve("desk", metadata={"n": n}) for n in range(6)]
    wanted = {"n": "wanted"}
    answers = await asyncio.gather(
        *(clients[n % 2].sessions.update(session.id, metadata=wanted) for n, session in enumerate(made)),
        *(clients[n % 2].sessions.resolve("desk", metadata=wanted) for n in range(4)),
        return_exceptions=True,
    )
    assert all(isinstance(answer, Session | AlreadyExists) for answer in answers), answers
    found = await clients[1].sessions.resolve("desk", metadata=wanted)
    assert not found.created
    assert await ids(clients[0], metadata=wanted) == [found.id]
    assert {session.id for session in answers if isinstance(session, Session)} == {found.id}


async def test_a_resolve_that_is_not_valid_makes_nothing(clients: Sequence[FlowStateClient]) -> None:
    for fields in ({"tags": ["a\n"]}, {"title": "x" * 2000}):
        with pytest.raises(ValueError):
            await clients[0].sessions.resolve("desk", metadata={}, **fields)
    with pytest.raises(InvalidArgument):
        await clients[0].sessions.resolve("desk", metadata={str(n): n for n in range(300)})
    assert await ids(clients[0]) == []


async def test_an_update_is_told_in_the_log(clients: Sequence[FlowStateClient]) -> None:
    here, there = clients
    run = await here.flows.dispatch("desk", "describe", {"tags": ["a"]}, session_id="s")
    await run.result()
    told = [event async for event in run.events() if isinstance(event, SessionMetadataChanged)]
    assert [(list(event.paths), event.version) for event in told] == [(["tags"], 2)]
    assert (await there.sessions.update("s", title="T")).version == 3
    assert await ids(there, tags=["a"]) == ["s"]


@pytest.mark.parametrize(("kind", "count"), [(kind, 500 if kind == "file" else 5_000) for kind in ALL])
async def test_a_walk_shows_each_session_once_while_more_are_made(
    kind: str, count: int, start_server: StartServer, new_store: NewStore
) -> None:
    """In files each session takes a while to be made: two of them are synced."""
    server = await start_server(app, store=await new_store(kind))
    for start in range(0, count, 100):
        await server.engine.store.commit(tuple(_old(n) for n in range(start, start + 100)))
    async with server.connect(plane="trusted") as client:
        adding = asyncio.create_task(_add(client, count // 5))
        walks: list[dict[str, Any]] = [
            {},
            {"tags": ["even"]},
            {"tags": ["even"], "metadata": {"third": 0}, "user_id": "ada"},
        ]
        found = await asyncio.gather(*(ids(client, page_size=100, **walk) for walk in walks))
        await adding
    for every, seen in zip((1, 2, 6), found, strict=True):
        assert len(seen) == len(set(seen))
        old = [name for name in seen if name.startswith("old")]
        assert old == [f"old-{n:04}" for n in range(count - 1, -1, -1) if n % every == 0]


def _old(n: int) -> CreateSession:
    return CreateSession(
        SessionKey(NO_TENANT, f"old-{n:04}"),
        "log",
        "desk",
        "ada",
        tags=("even",) if n % 2 == 0 else (),
        metadata={"third": n % 3},
    )


async def _add(client: FlowStateClient, count: int) -> None:
    """Sessions that all of the walks would list."""
    for start in range(0, count, 50):
        await asyncio.gather(
            *(
                client.sessions.create(
                    "desk", user_id="ada", session_id=f"new-{n}", tags=["even"], metadata={"third": 0}
                )
                for n in range(start, start + 50)
            )
        )
