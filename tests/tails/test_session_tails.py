"""A session is one stream over all its requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest, TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate.v1.types_pb2 import END_REASON_DELETED, END_REASON_REPLAY_DONE, Cursor
from flowstate_client import CursorAhead, Event as ClientEvent, EventStream, SessionNotFound, Trimmed
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, ClientView, Context, Session
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import take_over
from flowstate_server.testing.waiting import until
from tests.support.frames import check_frames, is_caught_up, kinds, next_frame, read_until
from tests.support.hosted import FAST, Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all, refused, refused_stream
from tests.tails.test_heartbeats import QUICK, duration
from tests.tails.test_visibility import Chat

Metadata = tuple[tuple[str, str], ...]
PLANES = pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])
SHOWN = Session(state=Chat, client=ClientView(expose=["count"]))


async def _talk(ctx: Context) -> None:
    for number in range(20):
        await ctx.emit("shown", number, audience=Audience.CLIENT)
        await ctx.emit("hidden", number, transient=bool(number % 2))
    await ctx.session.inc_state({"count": 1, "hidden": 1})
    await ctx.add_item("message", "hello")


async def _run_some(server: Hosted, count: int = 6) -> None:
    await server.run("r0", session_id="s1")
    await asyncio.gather(*(server.run(f"r{number}", session_id="s1") for number in range(1, count)))
    await server.run("other", session_id="s2")


async def _replayed(server: Hosted, metadata: Metadata = (), **fields: object) -> list[Event]:
    request = TailEventsRequest(session_id="s1", replay_only=True, **fields)  # type: ignore[arg-type]
    frames = await read_all(server.events.TailEvents(request, metadata=metadata))
    assert frames[-1].ended.reason == END_REASON_REPLAY_DONE
    return check_frames(frames, request.after.sequence, of_session=True)


@PLANES
async def test_it_has_every_event_of_every_request_in_one_order(store: Store, metadata: Metadata) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server:
        await _run_some(server)
        events = await _replayed(server, metadata)
        of_requests = [
            event
            for number in range(6)
            for event in check_frames(
                await read_all(
                    server.events.TailEvents(TailEventsRequest(request_id=f"r{number}"), metadata=metadata)
                )
            )
        ]
    assert events == sorted(of_requests, key=lambda event: event.session_sequence)
    assert {event.session_id for event in events} == {"s1"}
    if metadata:
        assert [event.session_sequence for event in events] == list(range(1, len(events) + 1))
    else:
        assert not any(event.type == "custom" and event.custom.name == "hidden" for event in events)
        changes = [event.state_change for event in events if event.type == "state_change"]
        assert [set(change.changed) for change in changes] == [{"/count"}] * 6
        assert not any(event.block_path for event in events)


@PLANES
async def test_it_goes_on_live_over_further_requests(store: Store, metadata: Metadata) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server:
        await server.run("r0", session_id="s1")
        call = server.events.TailEvents(TailEventsRequest(session_id="s1"), metadata=metadata)
        async with asyncio.timeout(20):
            frames = await read_until(call, is_caught_up)
            await server.run("r1", session_id="s1")
            await server.run("r2", session_id="s1")

            def is_the_end(frame: object) -> bool:
                return any(
                    e.request_id == "r2" and e.type == "request.completed" for e in frames[-1].batch.events
                )

            await read_until(call, is_the_end, frames)
        call.cancel()
        events = check_frames(frames, of_session=True)
        assert events == await _replayed(server, metadata)
    assert kinds(frames)[0] == "started"
    assert (frames[0].started.earliest_sequence, frames[0].started.latest_sequence > 20) == (1, True)


async def test_an_empty_session_has_an_empty_log_that_goes_on(store: Store) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server, server.client() as client:
        await client.sessions.create("play", session_id="s1")
        call = server.events.TailEvents(TailEventsRequest(session_id="s1"))
        async with asyncio.timeout(20):
            frames = await read_until(call, is_caught_up)
            assert kinds(frames) == ["started", "caught_up"]
            assert frames[0].started.earliest_sequence == frames[0].started.latest_sequence == 0
            await server.run("r1", session_id="s1")
            frames.append(await next_frame(call))
        call.cancel()
        assert check_frames(frames, of_session=True)[0].type == "request.created"


@PLANES
async def test_it_begins_behind_any_cursor(store: Store, metadata: Metadata) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server:
        await _run_some(server)
        whole = await _replayed(server, metadata)
        for position in (0, 1, len(whole) // 2, len(whole) - 1):
            after = Cursor(sequence=whole[position].session_sequence)
            assert await _replayed(server, metadata, after=after) == whole[position + 1 :]
        request = TailEventsRequest(session_id="s1", latest=True, replay_only=True)
        frames = await read_all(server.events.TailEvents(request, metadata=metadata))
        assert kinds(frames) == ["started", "caught_up", "ended"]
        assert frames[0].cursor.sequence == frames[0].started.latest_sequence >= whole[-1].session_sequence


async def test_where_it_may_not_begin(store: Store) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server, server.client() as client:
        await _run_some(server)
        frames = await read_all(
            server.events.TailEvents(TailEventsRequest(session_id="s1", replay_only=True))
        )
        head = frames[-1].cursor
        of_request = await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1")))
        for cursor, reason in (
            (Cursor(sequence=head.sequence + 1), Reason.CURSOR_AHEAD),
            (Cursor(log_id=head.log_id, sequence=2**63 - 1), Reason.CURSOR_AHEAD),
            (Cursor(sequence=-1), Reason.CURSOR_INVALID),
            (Cursor(log_id=of_request[0].cursor.log_id, sequence=1), Reason.CURSOR_LOG_MISMATCH),
            (Cursor(log_id="x", sequence=2**63 - 1), Reason.CURSOR_LOG_MISMATCH),
        ):
            request = TailEventsRequest(session_id="s1", after=cursor)
            assert (await refused_stream(server.events.TailEvents(request))).reason is reason, cursor
        for sequence, reason in ((head.sequence + 1, Reason.CURSOR_AHEAD), (-1, Reason.CURSOR_INVALID)):
            page = ListEventsRequest(session_id="s1", after_sequence=sequence)
            assert (await refused(server.events.ListEvents(page))).reason is reason
        never = TailEventsRequest(session_id="never")
        assert (await refused_stream(server.events.TailEvents(never))).reason is Reason.SESSION_NOT_FOUND
        with pytest.raises(CursorAhead):
            await anext(client.sessions.events("s1", after=head.sequence + 1))
        with pytest.raises(SessionNotFound):
            await anext(client.sessions.events("never"))


@PLANES
async def test_its_pages_are_its_tail(store: Store, metadata: Metadata) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store) as server:
        await _run_some(server)
        whole = await _replayed(server, metadata)
        for size in (7, 500):
            events: list[Event] = []
            after, ended = 0, False
            while not ended:
                request = ListEventsRequest(session_id="s1", after_sequence=after, page_size=size)
                page = await server.events.ListEvents(request, metadata=metadata)
                assert len(page.events) <= size
                assert page.cursor.sequence > after
                events += page.events
                after, ended = page.cursor.sequence, page.end_of_log
            assert events == whole


async def test_what_was_swept_is_told_ahead_of_the_batch(store: Store) -> None:
    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with hosted(play(_talk, session=SHOWN), store=store, settings=settings) as server:
        await _run_some(server)
        await server.engine.sweeper.sweep()
        events = await _replayed(server, TRUSTED)
        assert events
        assert not any(event.transient for event in events)
        request = TailEventsRequest(session_id="s1", replay_only=True)
        frames = await read_all(server.events.TailEvents(request, metadata=TRUSTED))
        assert "trimmed" in kinds(frames)
        kept = {event.session_sequence for event in events}
        for frame in frames:
            if frame.HasField("trimmed"):
                assert not {frame.trimmed.first, frame.trimmed.last} & kept
        async with server.client() as client:
            stream = client.sessions.events("s1", replay_only=True)
            notices = [event async for event in stream if isinstance(event, Trimmed)]
        assert notices[0].snapshot is not None
        assert notices[0].snapshot.client_data == {"session": {"count": 6}}
        assert notices[0].session_id == "s1"


async def _delete(server: Hosted, *, anew: bool) -> None:
    """As a store has it that was told to by whatever server."""
    store = server.engine.store
    session = await store.get_session(SessionKey(NO_TENANT, "s1"))
    assert session is not None
    await take_over(store, SESSIONS, (replace(session, delete_time=await store.time()),))
    if anew:
        async with server.client() as client:
            await client.sessions.create("play", session_id="s1")


@pytest.mark.parametrize("anew", [False, True])
async def test_it_ends_when_the_session_is_deleted(store: Store, anew: bool) -> None:
    async with hosted(play(_talk, session=SHOWN), store=store, settings=QUICK) as server:
        await server.run("r0", session_id="s1")
        request = TailEventsRequest(session_id="s1", heartbeat_interval=duration(0.05))
        call = server.events.TailEvents(request)
        config = replace(FAST, heartbeat_interval=0.05)
        async with asyncio.timeout(20), server.client(config=config) as client:
            frames = await read_until(call, is_caught_up)
            seen: list[ClientEvent] = []
            reading = asyncio.ensure_future(_read(client.sessions.events("s1"), seen))
            await until(lambda: seen and seen[-1].type == "request.completed")
            await _delete(server, anew=anew)
            frames += await read_all(call)
            await reading
            assert seen[-1].type == "request.completed"
        check_frames(frames, of_session=True)
        assert frames[-1].ended.reason == END_REASON_DELETED
        if not anew:
            assert (
                await refused_stream(server.events.TailEvents(request))
            ).reason is Reason.SESSION_NOT_FOUND
            page = ListEventsRequest(session_id="s1")
            assert (await refused(server.events.ListEvents(page))).reason is Reason.SESSION_NOT_FOUND


async def _read(stream: EventStream, seen: list[ClientEvent]) -> None:
    async for event in stream:
        seen.append(event)  # noqa: PERF401 - looked at while they come
