"""``CallAction``: one block, one state write, one message; 32 callers, each in a session of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

from benchmarks.load import Caller, for_seconds
from benchmarks.result import Bar, Comparison, Options, Result, at_least, at_most, cpu_beside, interleaved
from benchmarks.subject import TRUSTED, Subject, action_call, on_postgres, on_sqlite

IN_FLIGHT = 32
NUMBERS = itertools.count(1)
SAY = {"text": "What is there to say about it?"}


async def call_action(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return await _measured(server, options, "CallAction", at_least(0.24), at_most(4.5))


async def call_action_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return await _measured(server, options, "CallAction on Postgres", at_least(0.18), None)


async def _measured(
    server: Subject, options: Options, name: str, bar: Bar, cpu: Bar | None
) -> Sequence[Result]:
    sessions = await server.new_sessions(IN_FLIGHT)
    request = action_call("turn", SAY, sessions[0], f"{sessions[0]}-00000000")
    reply = await server.flows.CallAction(request, metadata=TRUSTED)
    bare = server.floor.unary(request.ByteSize(), reply.ByteSize())
    callers = [turns(server, "turn", session) for session in sessions]
    load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
    floor, measured = await interleaved(
        options.rounds,
        lambda: load([bare] * IN_FLIGHT),
        lambda: load(callers),
    )
    return Comparison(name, floor, measured, bar), cpu_beside(name, floor, measured, cpu)


def turns(server: Subject, action: str, session: str) -> Caller:
    """Calls the action, each time under a request id of its own, as clients do."""
    request = action_call(action, SAY, session)

    async def call() -> None:
        request.spec.request_id = f"{session}-{next(NUMBERS):08}"
        reply = await server.flows.CallAction(request, metadata=TRUSTED)
        if not reply.action_request.output.json:
            raise RuntimeError(f"{action} did not complete: {reply}")

    return call
