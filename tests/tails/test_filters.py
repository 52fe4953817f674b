"""A filter narrows what one sees, and nothing else: places and cursors are those of the whole log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate.v1.event_service_pb2 import EventFilter, ListEventsRequest, TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate.v1.flow_service_pb2 import GetActionRequestRequest, StreamActionRequest
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, AUDIENCE_HISTORY, AUDIENCE_INTERNAL
from flowstate_client import ItemDone, PermissionDenied, RequestCompleted
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, ClientView, Context, Session
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames, is_caught_up, kinds, next_frame
from tests.support.hosted import Hosted, hosted, play, play_spec
from tests.support.wire import TRUSTED, read_all, refused, refused_stream
from tests.tails.test_heartbeats import QUICK, duration
from tests.tails.test_visibility import Chat

Metadata = tuple[tuple[str, str], ...]
PLANES = pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])
SHOWN = Session(state=Chat, client=ClientView(expose=["count"]))


async def _mixed(ctx: Context) -> str:
    await ctx.emit("for clients", audience=Audience.CLIENT)
    await ctx.emit("hidden")
    await ctx.session.inc_state({"count": 1})
    await ctx.add_item("message", "both")
    await ctx.add_item("message", "client", audiences=(Audience.CLIENT,))
    await ctx.add_item("message", "history", audiences=(Audience.HISTORY,))
    await ctx.add_item("message", "nobody", audiences=())
    await ctx.status("busy", progress=0.5)
    return "done"


def _log(of_session: bool) -> dict[str, str]:
    return {"session_id": "s1"} if of_session else {"request_id": "r1"}


async def _events(
    server: Hosted, metadata: Metadata, of_session: bool, filter: EventFilter | None = None
) -> list[Event]:
    request = TailEventsRequest(**_log(of_session), filter=filter, replay_only=True)  # type: ignore[arg-type]
    frames = await read_all(server.events.TailEvents(request, metadata=metadata))
    events = check_frames(frames, of_session=of_session)
    whole = TailEventsRequest(**_log(of_session), latest=True, replay_only=True)  # type: ignore[arg-type]
    [*_, end] = await read_all(server.events.TailEvents(whole, metadata=metadata))
    assert frames[-1].cursor == end.cursor, "the cursor moves past what is filtered"
    page = ListEventsRequest(**_log(of_session), filter=filter, page_size=500)  # type: ignore[arg-type]
    listed = await server.events.ListEvents(page, metadata=metadata)
    assert (list(listed.events), listed.cursor, listed.end_of_log) == (events, end.cursor, True)
    return events


@PLANES
@pytest.mark.parametrize("of_session", [False, True])
async def test_by_type(store: Store, metadata: Metadata, of_session: bool) -> None:
    async with hosted(play(_mixed, session=SHOWN), store=store) as server:
        await server.run("r0", session_id="s1")
        await server.run("r1", session_id="s1")
        whole = await _events(server, metadata, of_session)
        assert len({event.type for event in whole}) >= 8
        for types in (
            ["item.done"],
            ["state_change", "request.completed"],
            ["no.such.type"],
            ["custom", "x"],
        ):
            events = await _events(server, metadata, of_session, EventFilter(types=types))
            assert events == [event for event in whole if event.type in types]
            assert bool(events) != ("no.such.type" in types)
        assert await _events(server, metadata, of_session, EventFilter()) == whole


@pytest.mark.parametrize("of_session", [False, True])
async def test_by_audience_on_the_trusted_plane(store: Store, of_session: bool) -> None:
    async with hosted(play(_mixed, session=SHOWN), store=store) as server:
        await server.run("r1", session_id="s1")
        whole = await _events(server, TRUSTED, of_session)
        by_audience = {
            audience: await _events(server, TRUSTED, of_session, EventFilter(audience=audience))
            for audience in (AUDIENCE_CLIENT, AUDIENCE_HISTORY, AUDIENCE_INTERNAL)
        }
        both = EventFilter(audience=AUDIENCE_HISTORY, types=["item.done"])
        of_history = await _events(server, TRUSTED, of_session, both)
    assert by_audience[AUDIENCE_CLIENT] == [event for event in whole if event.audience == AUDIENCE_CLIENT]
    assert by_audience[AUDIENCE_INTERNAL] == [event for event in whole if event.audience == AUDIENCE_INTERNAL]
    texts = [event.item_done.item.content.json for event in of_history]
    assert [("both" in text, "history" in text) for text in texts] == [(True, False), (False, True)]
    assert any("nobody" in event.item_done.item.content.json for event in by_audience[AUDIENCE_INTERNAL])


async def test_a_client_sees_no_more_by_a_filter(store: Store) -> None:
    async with hosted(play(_mixed, session=SHOWN), store=store) as server:
        await server.run("r1", session_id="s1")
        for of_session in (False, True):
            whole = await _events(server, (), of_session)
            assert await _events(server, (), of_session, EventFilter(audience=AUDIENCE_CLIENT)) == whole
            for audience in (AUDIENCE_HISTORY, AUDIENCE_INTERNAL):
                log: dict[str, Any] = {**_log(of_session), "filter": EventFilter(audience=audience)}
                tail = server.events.TailEvents(TailEventsRequest(**log))
                assert (await refused_stream(tail)).reason is Reason.ACCESS_DENIED
                page = server.events.ListEvents(ListEventsRequest(**log))
                assert (await refused(page)).reason is Reason.ACCESS_DENIED
            wrong: dict[str, Any] = {**_log(of_session), "filter": {"audience": 99}}
            refusal = await refused_stream(server.events.TailEvents(TailEventsRequest(**wrong)))
            assert (refusal.reason, refusal.fields) == (Reason.VALIDATION_FAILED, ["filter.audience"])


async def test_an_action_is_streamed_through_a_filter(store: Store) -> None:
    async with hosted(play(_mixed, session=SHOWN), store=store) as server:
        types = EventFilter(types=["item.done", "request.completed"])
        request = StreamActionRequest(spec=play_spec("r1", session_id="s1"), filter=types)
        frames = [one.tail for one in await read_all(server.flows.StreamAction(request))][1:]
        events = check_frames(frames)
        assert [event.type for event in events] == ["item.done", "item.done", "request.completed"]
        assert (
            frames[-1].cursor
            == (await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"))))[-1].cursor
        )
        refused_before = StreamActionRequest(
            spec=play_spec("r2", session_id="s1"), filter=EventFilter(audience=AUDIENCE_INTERNAL)
        )
        assert (
            await refused_stream(server.flows.StreamAction(refused_before))
        ).reason is Reason.ACCESS_DENIED
        refusal = await refused(server.flows.GetActionRequest(GetActionRequestRequest(request_id="r2")))
        assert refusal.reason is Reason.REQUEST_NOT_FOUND, "a refused call leaves no trace"


@pytest.mark.parametrize("of_session", [False, True])
async def test_heartbeats_carry_the_cursor_past_what_is_filtered(store: Store, of_session: bool) -> None:
    end = asyncio.Event()

    async def body(ctx: Context) -> None:
        while not end.is_set():
            await ctx.emit("n", audience=Audience.CLIENT)
            await asyncio.sleep(0.005)  # busy, not flooded

    async with hosted(play(body), store=store, settings=QUICK) as server:
        await server.dispatch("r1", session_id="s1")
        request = TailEventsRequest(
            **_log(of_session),  # type: ignore[arg-type]
            filter=EventFilter(types=["request.completed"]),
            heartbeat_interval=duration(0.05),
        )
        call = server.events.TailEvents(request)
        async with asyncio.timeout(10):
            frames = [await next_frame(call)]
            while len({frame.cursor.sequence for frame in frames if frame.HasField("heartbeat")}) < 3:
                frames.append(await next_frame(call))
            end.set()
            while not frames[-1].HasField("batch"):
                frames.append(await next_frame(call))
        call.cancel()
        assert [event.type for event in check_frames(frames, of_session=of_session)] == ["request.completed"]
        assert any(map(is_caught_up, frames))
        assert "batch" not in kinds(frames)[:-1]


async def test_the_client_filters_and_resumes(store: Store) -> None:
    async with (
        hosted(play(_mixed, session=SHOWN), store=store) as server,
        server.client() as client,
        server.client(plane="trusted") as trusted,
    ):
        await server.run("r1", session_id="s1")
        await server.run("r2", session_id="s1")
        stream = client.flows.handle("r1").events(types=("item.done", "request.completed"))
        events = [event async for event in stream]
        assert [type(event) for event in events] == [ItemDone, ItemDone, RequestCompleted]
        of_session = client.sessions.events("s1", types="request.completed", replay_only=True)
        assert [event.request_id async for event in of_session] == ["r1", "r2"]
        first = await anext(client.sessions.events("s1", types=["item.done"]))
        rest = client.sessions.events("s1", types=["item.done"], after=first, replay_only=True)
        assert [event.request_id async for event in rest] == ["r1", "r2", "r2"]
        hidden = trusted.sessions.events("s1", audience="internal", types=["item.done"], replay_only=True)
        assert len([event async for event in hidden]) == 2
        with pytest.raises(PermissionDenied):
            await anext(client.sessions.events("s1", audience="history"))
        with pytest.raises(ValueError, match="an audience is client, internal or history"):
            client.sessions.events("s1", audience="everybody")
        async with client.flows.stream(
            "play", "play", session_id="s1", types=["request.completed"]
        ) as stream:
            assert [event.type async for event in stream] == ["request.completed"]
