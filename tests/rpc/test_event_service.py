from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from flowstate.v1 import event_service_pb2 as pb, flow_service_pb2 as flows
from flowstate.v1.types_pb2 import END_REASON_REPLAY_DONE, END_REASON_TERMINAL, Cursor
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import TRUSTED, read_all, read_one, refused, refused_stream


async def _run(server: Served, request_id: str = "r1") -> None:
    await server.flows.CallAction(flows.CallActionRequest(spec=spec(request_id=request_id, session_id="s1")))


def _events(frames: list[pb.TailEventsResponse]) -> list[str]:
    return [event.type for frame in frames for event in frame.batch.events]


async def test_a_tail_replays_a_request_that_has_ended() -> None:
    async with served() as server:
        await _run(server)
        frames = await read_all(server.events.TailEvents(pb.TailEventsRequest(request_id="r1")))
    assert frames[0].started.latest_sequence == frames[-1].ended.final_sequence
    assert frames[0].started.heartbeat_interval.seconds == 15
    assert frames[-1].ended.reason == END_REASON_TERMINAL
    assert _events(frames)[-1] == "request.completed"
    before = 0
    for frame in frames:
        if frame.HasField("batch"):
            assert frame.batch.after_sequence == before
        before = frame.cursor.sequence


async def test_a_tail_goes_on_from_any_cursor() -> None:
    async with served() as server:
        await _run(server)
        whole = await read_all(server.events.TailEvents(pb.TailEventsRequest(request_id="r1")))
        sequences = [event.sequence for frame in whole for event in frame.batch.events]
        log_id = whole[0].cursor.log_id
        for sequence in range(whole[-1].cursor.sequence + 1):
            after = Cursor(log_id=log_id, sequence=sequence)
            frames = await read_all(
                server.events.TailEvents(pb.TailEventsRequest(request_id="r1", after=after))
            )
            seen = [event.sequence for frame in frames for event in frame.batch.events]
            assert seen == [one for one in sequences if one > sequence]


async def test_a_tail_follows_a_run() -> None:
    async with served() as server:
        hold = spec("hold", request_id="r1")
        await server.flows.DispatchAction(flows.DispatchActionRequest(spec=hold))
        call = server.events.TailEvents(
            pb.TailEventsRequest(request_id="r1", heartbeat_interval=Duration(seconds=1))
        )
        frames = [await read_one(call)]
        while not frames[-1].HasField("caught_up"):
            frames.append(await read_one(call))
        assert frames[0].started.heartbeat_interval.seconds == 5
        server.gate.opened.set()
        frames += await read_all(call)
    assert _events(frames)[-1] == "request.completed"


async def test_a_replay_ends_where_the_log_ends() -> None:
    async with served() as server:
        await server.flows.DispatchAction(flows.DispatchActionRequest(spec=spec("hold", request_id="r1")))
        await server.gate.reached.wait()
        frames = await read_all(
            server.events.TailEvents(pb.TailEventsRequest(request_id="r1", replay_only=True))
        )
    assert frames[-1].ended.reason == END_REASON_REPLAY_DONE


async def test_pages_of_events() -> None:
    async with served() as server:
        await _run(server)
        types: list[str] = []
        after = 0
        while True:
            page = await server.events.ListEvents(
                pb.ListEventsRequest(request_id="r1", after_sequence=after, page_size=2)
            )
            assert len(page.events) <= 2
            types += [event.type for event in page.events]
            after = page.cursor.sequence
            if page.end_of_log:
                break
        tail = await read_all(server.events.TailEvents(pb.TailEventsRequest(request_id="r1")))
    assert types == _events(tail)


async def test_what_a_plane_may_see() -> None:
    async with served() as server:
        await _run(server)
        request = pb.ListEventsRequest(request_id="r1", page_size=500)
        client = (await server.events.ListEvents(request)).events
        trusted = (await server.events.ListEvents(request, metadata=TRUSTED)).events
    assert {event.sequence for event in client} < {event.sequence for event in trusted}
    assert not any(event.type.startswith("block.") or event.block_path for event in client)
    assert any(event.type == "block.started" for event in trusted)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.TailEventsRequest(), Reason.VALIDATION_FAILED),
        (pb.TailEventsRequest(request_id="r2"), Reason.REQUEST_NOT_FOUND),
        (pb.TailEventsRequest(request_id="r1", after=Cursor(sequence=99)), Reason.CURSOR_AHEAD),
        (pb.TailEventsRequest(request_id="r1", after=Cursor(sequence=-1)), Reason.CURSOR_INVALID),
        (pb.TailEventsRequest(request_id="r1", after=Cursor(log_id="other")), Reason.CURSOR_LOG_MISMATCH),
        (
            pb.TailEventsRequest(request_id="r1", heartbeat_interval=Duration(seconds=-1)),
            Reason.VALIDATION_FAILED,
        ),
        (pb.TailEventsRequest(session_id="never"), Reason.SESSION_NOT_FOUND),
        (pb.TailEventsRequest(session_id=""), Reason.VALIDATION_FAILED),
    ],
)
async def test_tails_that_are_refused(request_: pb.TailEventsRequest, reason: Reason) -> None:
    async with served() as server:
        await _run(server)
        assert (await refused_stream(server.events.TailEvents(request_))).reason is reason


async def test_pages_that_are_refused() -> None:
    async with served() as server:
        await _run(server)
        negative = await refused(
            server.events.ListEvents(pb.ListEventsRequest(request_id="r1", page_size=-1))
        )
        assert negative.fields == ["page_size"]
        ahead = await refused(
            server.events.ListEvents(pb.ListEventsRequest(request_id="r1", after_sequence=99))
        )
        assert ahead.reason is Reason.CURSOR_AHEAD
        assert ahead.metadata["sequence"] == "99"


async def test_a_log_has_to_be_named() -> None:
    async with served() as server:
        tail = await refused_stream(server.events.TailEvents(pb.TailEventsRequest()))
        page = await refused(server.events.ListEvents(pb.ListEventsRequest()))
    for refusal in (tail, page):
        assert "log: must name a request" in str(refusal)
