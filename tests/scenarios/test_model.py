"""Random programs of several clients, against a plain Python model: no answer may differ from the model's.

The commands of a burst run at once; their answers must be those of the model for some order of them, which is to say
that commits are linearizable, over all records and servers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from flowstate_server.testing.fixtures import StartServer
from tests.support.flows import app
from tests.support.programs import SCOPES, Place, programs
from tests.support.raw_calls import Stubs, stubs_of
from tests.support.state_model import Bump, Command, Commit, Model, Mutation, Op, Read, explain, same
from tests.support.store_urls import ALL, SHARED, NewStore

CLIENTS = 4

_places = itertools.count()

_QUICK = settings(
    max_examples=70,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # to shrink a failure takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(
    params=[*((kind, 1) for kind in ALL), *((kind, 2) for kind in SHARED)],
    ids=lambda one: "{} x {}".format(*one),
)
async def clients(
    request: pytest.FixtureRequest, start_server: StartServer, new_store: NewStore
) -> AsyncIterator[Sequence[Stubs]]:
    kind, count = request.param
    url = await new_store(kind)
    servers = [await start_server(app, store=url) for _ in range(count)]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(stubs_of(servers[number % count].target))
            for number in range(CLIENTS)
        ]


async def _check(clients: Sequence[Stubs], program: list[list[Command]]) -> None:
    place, model = Place(f"program {next(_places)}"), Model()
    await place.prepare(clients[0])
    everything = Read(SCOPES)
    for drawn in program:
        burst = [model.resolved(command) for command in drawn]
        outcomes = await asyncio.gather(
            *(place.perform(client, command) for client, command in zip(clients, burst, strict=False))
        )
        explained = explain(model, burst, outcomes)
        assert explained is not None, _difference(model, burst, outcomes)
        model = explained
        shown = await place.perform(clients[len(burst) % CLIENTS], everything)
        assert same(shown, model.perform(everything)), _difference(model, [everything], [shown])


def _difference(model: Model, burst: list[Command], outcomes: Sequence[object]) -> str:
    lines = [f"before: {model.records}"]
    for command, outcome in zip(burst, outcomes, strict=True):
        lines += [
            str(command),
            f"  answered {outcome}",
            f"  expected {model.copy().perform(command)} (if first)",
        ]
    return "\n".join(lines)


_FULL = Commit((Mutation("session 1", (Op("merge", "", {"count": 2**63 - 1}),)),))
_BUMP_TOO_FAR = Bump("session 1", 1, request_id="request 1")
_BUMPS_OF_A_FULL_COUNT: list[list[Command]] = [
    [_FULL],
    [_BUMP_TOO_FAR],
    [_BUMP_TOO_FAR],  # the same request: it stays failed
    [Bump("session 1", 0), Bump("session 2", 1), Bump("session 1", 2)],
    [Commit((Mutation("session 1", (Op("increment", "count", -1),)),))],
    [_BUMP_TOO_FAR, Bump("session 1", 1)],
]


@given(program=programs())
@example(program=_BUMPS_OF_A_FULL_COUNT)
@_QUICK
async def test_every_answer_is_the_models(clients: Sequence[Stubs], program: list[list[Command]]) -> None:
    await _check(clients, program)


@pytest.mark.soak
@given(program=programs())
@settings(_QUICK, max_examples=1_500, derandomize=False)
async def test_every_answer_is_the_models_in_many_programs(
    clients: Sequence[Stubs], program: list[list[Command]]
) -> None:
    await _check(clients, program)
