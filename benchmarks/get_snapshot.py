"""``GetSnapshot`` of three fields and one derived from them, in sessions with some turns; 32 callers, each of a session
of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.call_action import SAY
from benchmarks.flow import SHOWN_KIND
from benchmarks.load import Caller, for_seconds
from benchmarks.result import Comparison, Options, Result, interleaved
from benchmarks.subject import TRUSTED, Subject, on_sqlite
from flowstate.v1.session_service_pb2 import GetSnapshotRequest

IN_FLIGHT = 32
TURNS = 5


async def get_snapshot(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        callers = await snapshots(server, IN_FLIGHT)
        request = GetSnapshotRequest(session_id=(await server.new_sessions(1, SHOWN_KIND))[0])
        reply = await server.sessions.GetSnapshot(request, metadata=TRUSTED)
        if len(reply.scopes[0].values) != 4:
            raise RuntimeError(f"the snapshot does not show what the flow shows: {reply}")
        bare = server.floor.unary(request.ByteSize(), reply.ByteSize())
        load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
        floor, measured = await interleaved(
            options.rounds,
            lambda: load([bare] * IN_FLIGHT),
            lambda: load(callers),
        )
    return (Comparison("GetSnapshot", floor, measured),)


async def snapshots(server: Subject, count: int) -> list[Caller]:
    """Callers that each take snapshots of a session of their own, in which there were turns."""
    sessions = await server.new_sessions(count, SHOWN_KIND)
    for session in sessions:
        for _ in range(TURNS):
            await server.call("turn", SAY, session, SHOWN_KIND)
    return [_snapshot(server, session) for session in sessions]


def _snapshot(server: Subject, session: str) -> Caller:
    request = GetSnapshotRequest(session_id=session)
    return lambda: server.sessions.GetSnapshot(request, metadata=TRUSTED)
