"""``CommitState`` of a nested model whose fields have validators in Python, beside one of plain integers: how many
times as long a call takes. And ``GetSnapshot`` of a state of many fields."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.commit_state import commit
from benchmarks.flow import TYPED_KIND, WIDE_KIND, WIDTH
from benchmarks.load import Caller, for_seconds
from benchmarks.result import Comparison, Options, Result, at_most, interleaved
from benchmarks.subject import TRUSTED, Subject, on_sqlite
from benchmarks.values import json_field
from flowstate.v1.session_service_pb2 import GetSnapshotRequest
from flowstate.v1.state_service_pb2 import CommitStateRequest, MergeOp, StateMutation, StateOp
from flowstate.v1.types_pb2 import ScopeRef

IN_FLIGHT = 32

Fields = Mapping[str, object]


async def typed_commit(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        sessions = await server.new_sessions(IN_FLIGHT, TYPED_KIND)
        plain = [_merges(server, session, _integers) for session in sessions]
        nested = [_merges(server, session, _address) for session in sessions]
        load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
        floor, measured = await interleaved(options.rounds, lambda: load(plain), lambda: load(nested))
    return (Comparison("nested model / plain integers", floor, measured, at_most(1.5), slower=True),)


async def wide_snapshot(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        sessions = await server.new_sessions(IN_FLIGHT, WIDE_KIND)
        for session in sessions:
            await commit(server, _merge(session, _wide()))()
        requests = [GetSnapshotRequest(session_id=session) for session in sessions]
        reply = await server.sessions.GetSnapshot(requests[0], metadata=TRUSTED)
        if len(reply.scopes[0].values) != WIDTH:
            raise RuntimeError(f"the snapshot does not show what the flow shows: {reply}")
        bare = server.floor.unary(requests[0].ByteSize(), reply.ByteSize())
        load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
        floor, measured = await interleaved(
            options.rounds,
            lambda: load([bare] * IN_FLIGHT),
            lambda: load([_snapshot(server, request) for request in requests]),
        )
    return (Comparison(f"GetSnapshot of {WIDTH} fields", floor, measured),)


def _merges(server: Subject, session: str, fields: Callable[[int], Fields]) -> Caller:
    """Merges that each change something."""
    numbers = itertools.count(1)

    async def call() -> None:
        await server.states.CommitState(_merge(session, fields(next(numbers))), metadata=TRUSTED)

    return call


def _merge(session: str, fields: Fields) -> CommitStateRequest:
    op = StateOp(merge=MergeOp())
    op.merge.value.json = json_field(fields)
    return CommitStateRequest(mutations=[StateMutation(scope=ScopeRef(session_id=session), ops=[op])])


def _integers(number: int) -> Fields:
    return {"first": number, "second": -number, "third": 2 * number}


def _address(number: int) -> Fields:
    return {"address": {"street": f"Station Road {number}", "town": "Leeds", "country": "GB"}}


def _wide() -> Fields:
    values = {
        "text": "What there is to say about it",
        "number": 42,
        "tags": ["first", "second"],
        "counts": {"seen": 1, "kept": 2},
        **_address(1),
    }
    names = list(values)
    return {
        f"{name}_{number}": values[name] for number in range(WIDTH) for name in (names[number % len(names)],)
    }


def _snapshot(server: Subject, request: GetSnapshotRequest) -> Caller:
    return lambda: server.sessions.GetSnapshot(request, metadata=TRUSTED)
