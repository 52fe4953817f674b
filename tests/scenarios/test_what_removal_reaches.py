"""What was deleted, has expired or is beyond a flow's retention is gone from everything by which it was found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

import pytest

from flowstate_client import EventsCompacted, FlowStateClient, NewItem, RequestNotFound, SessionNotFound
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import ClientView, Context, Retention, Session, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.waiting import soon, until

T = TypeVar("T")

FOUND = {"team": "red", "n": 1}


@handler
async def talk(text: str, ctx: Context) -> list[str]:
    seen = [item.text for item in await ctx.session.items.history()]
    await ctx.add_item("message", text, role="user")
    return seen


@handler
async def hold(value: None, ctx: Context) -> None:
    await asyncio.sleep(3600)


def _session(ttl: float | None = None) -> Session:
    return Session(
        ttl=ttl, retention=Retention(max_turns=3), client=ClientView(derived={"one": lambda state: 1})
    )


LASTING = define_flow(
    kind="lasting", actions={"talk": action(block=talk), "hold": action(block=hold)}, session=_session()
)
SHORT = define_flow(kind="short", actions={"talk": action(block=talk)}, session=_session(ttl=0.5))


@pytest.fixture
async def server(start_server: StartServer, store_url: str) -> RunningServer:
    """One that sweeps when it is told to, and at no other time."""
    server = await start_server(
        [LASTING, SHORT], store=store_url, settings=EngineSettings(lease=Seconds(0.6))
    )
    await server.engine.sweeper.close()
    return server


@pytest.fixture
async def ada(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with server.connect(user="ada", plane="trusted") as client:
        yield client


async def _say(client: FlowStateClient, *texts: str, session_id: str = "s") -> None:
    for text in texts:
        await client.flows.call("lasting", "talk", text, session_id=session_id, request_id=text)


async def _texts(client: FlowStateClient, session_id: str = "s") -> list[object]:
    return [item.content["parts"][0]["text"] async for item in client.sessions.items(session_id)]


async def test_retention_reaches_lists_tails_and_items_from_outside(
    server: RunningServer, ada: FlowStateClient
) -> None:
    await _say(ada, "t0", "t1")
    await ada.sessions.append_items("s", [NewItem.message("user", "outside, old")])
    await _say(ada, "t2", "emptied")
    await ada.sessions.append_items("s", [NewItem.message("user", "outside, new")])
    await _say(ada, "t3")
    [emptied] = [item async for item in ada.sessions.items("s", request_id="emptied")]
    await ada.sessions.remove_items("s", [emptied.item_id])  # its turn counts no more
    early = [event async for event in ada.sessions.events("s", replay_only=True)]
    await server.engine.expiry.lap()

    assert await _texts(ada) == ["t2", "outside, new", "t3"]
    assert {run.request_id async for run in ada.flows.requests(session_id="s")} <= {"t2", "t3", "emptied"}
    with pytest.raises(RequestNotFound):
        [item async for item in ada.sessions.items("s", request_id="t0")]
    kept = [event async for event in ada.sessions.events("s", replay_only=True)]
    assert [event.session_sequence for event in kept] == sorted(event.session_sequence for event in kept)
    assert {event.request_id for event in kept} <= {"", "t2", "t3", "emptied"}
    assert {"t2", "t3"} <= {event.request_id for event in kept}
    assert kept == early[-len(kept) :]
    with pytest.raises(EventsCompacted) as compacted:
        [event async for event in ada.sessions.events("s", after=early[0], replay_only=True)]
    assert int(compacted.value.metadata["earliest"]) <= kept[0].session_sequence
    again = [event async for event in ada.sessions.events("s", after=kept[0], replay_only=True)]
    assert again == kept[1:]
    assert await ada.flows.call("lasting", "talk", "next", session_id="s") == ["t2", "outside, new", "t3"]


async def test_what_follows_a_session_ends_with_it(ada: FlowStateClient) -> None:
    await _say(ada, "a")
    await ada.flows.dispatch("lasting", "hold", None, session_id="s", request_id="open")
    tail = ada.sessions.events("s")
    events, views = list[object](), list[object]()
    followed = asyncio.create_task(_read(tail, events))
    watched = asyncio.create_task(_read(ada.sessions.watch("s"), views))
    await until(lambda: bool(events and views), what="both to be open")
    await ada.sessions.delete("s")
    await soon(followed)
    assert tail.deleted
    await soon(watched)
    readings: tuple[AsyncIterable[object], ...] = (
        ada.sessions.items("s"),
        ada.flows.requests(session_id="s"),
        ada.sessions.events("s"),
        ada.sessions.watch("s"),
    )
    for reading in readings:
        with pytest.raises(SessionNotFound):
            await _all(reading)
    assert [run.request_id async for run in ada.flows.requests()] == []
    await ada.sessions.create("lasting", session_id="s")
    assert [run async for run in ada.flows.requests(session_id="s")] == []
    assert await _texts(ada) == []


async def test_a_deleted_session_is_found_by_nothing(server: RunningServer, ada: FlowStateClient) -> None:
    first = await ada.sessions.resolve("lasting", metadata=FOUND, tags=["a"])
    await _is_found(ada, "lasting", [first.id])
    await ada.sessions.delete(first.id)
    await _is_found(ada, "lasting", [])
    second = await ada.sessions.resolve("lasting", metadata=FOUND, tags=["a"])
    assert second.created
    assert second.id != first.id
    await ada.sessions.create("lasting", session_id=first.id)
    await server.engine.sweeper.delete_expired()
    await _is_found(ada, "lasting", [second.id])
    assert (await ada.sessions.resolve("lasting", metadata=FOUND)).id == second.id


async def test_an_expired_session_is_found_by_nothing(server: RunningServer, ada: FlowStateClient) -> None:
    first = await ada.sessions.resolve("short", metadata=FOUND, tags=["a"])

    async def gone() -> bool:
        await server.engine.expiry.lap()
        return not [one async for one in ada.sessions.list(flow_kind="short")]

    await until(gone, every=0.05)
    await _is_found(ada, "short", [])
    second = await ada.sessions.resolve("short", metadata=FOUND)
    assert second.created
    assert second.id != first.id


async def _is_found(client: FlowStateClient, flow_kind: str, ids: list[str]) -> None:
    for found in (
        client.sessions.list(flow_kind=flow_kind, tags=["a"]),
        client.sessions.list(metadata={"team": "red"}, tags=["a"]),
        client.sessions.list(user_id="ada", metadata={"n": 1}, tags=["a"]),
    ):
        assert [one.id async for one in found] == ids


async def _all(values: AsyncIterable[T]) -> list[T]:
    return [value async for value in values]


async def _read(reading: AsyncIterable[object], found: list[object]) -> None:
    async for one in reading:
        found.append(one)  # noqa: PERF401 - others look at it meanwhile
