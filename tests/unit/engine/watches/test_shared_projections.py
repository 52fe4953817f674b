from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from flowstate_server.engine.calls.sessions import ScopeProjection
from flowstate_server.engine.records.projections import Projections
from flowstate_server.engine.watches import shared_projections as module
from flowstate_server.engine.watches.shared_projections import SharedProjection, SharedProjections
from flowstate_server.model.json_values import Json
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.resources import ResourceKey, ResourceRecord
from flowstate_server.model.scopes import ScopeKind, user_scope
from flowstate_server.programs.program import HostedFlow

KEY = user_scope("ada")
FLOW = cast(HostedFlow, object())
NAMES = frozenset({"a", "b"})

Outcome = Callable[[str], Awaitable[Json | Failure]]


class Computed:
    """Stands for the projections; ``asked`` has the names of each computation."""

    def __init__(self, outcome: Outcome) -> None:
        self.asked: list[frozenset[str]] = []
        self._outcome = outcome

    async def of(
        self,
        flow: HostedFlow,
        kind: ScopeKind,
        record: StateRecord,
        names: frozenset[str],
        resources: Mapping[str, ResourceRecord],
    ) -> ScopeProjection:
        self.asked.append(names)
        outcomes = {name: await self._outcome(name) for name in sorted(names)}
        values = {name: value for name, value in outcomes.items() if not isinstance(value, Failure)}
        failures = {name: value for name, value in outcomes.items() if isinstance(value, Failure)}
        return ScopeProjection(kind, record.version, values, failures)


def shared(outcome: Outcome) -> tuple[Computed, Callable[..., Awaitable[SharedProjection]]]:
    computed = Computed(outcome)
    projections = SharedProjections(cast(Projections, computed))

    def of(
        version: int = 1, names: frozenset[str] = NAMES, resource: int = 0, **more: Any
    ) -> Awaitable[SharedProjection]:
        record = StateRecord(KEY, **{"version": version, "exists": True, **more})
        resources = (
            {"card": ResourceRecord(ResourceKey(KEY, "card"), resource, exists=True)} if resource else {}
        )
        return projections.of(FLOW, ScopeKind.USER, record, names, resources)

    return computed, of


async def _name(name: str) -> Json:
    await asyncio.sleep(0)
    return name


async def test_what_many_ask_for_is_computed_once() -> None:
    computed, of = shared(_name)
    results = await asyncio.gather(*(of() for _ in range(50)))
    assert {id(result) for result in results} == {id(await of())}
    assert results[0].scope.values == {"a": '"a"', "b": '"b"'}
    assert computed.asked == [NAMES]


async def test_another_version_incarnation_time_selection_or_resource_is_another() -> None:
    computed, of = shared(_name)
    await of()
    for more in (
        {"version": 2},
        {"incarnation": "other"},
        {"update_time": 5},
        {"exists": False},
        {"names": frozenset({"a"})},
        {"resource": 1},
        {"resource": 2},
    ):
        await of(**more)
    await of(resource=2)
    assert len(computed.asked) == 8


async def test_failures_are_tried_again_and_what_went_well_is_not() -> None:
    fails = True

    async def outcome(name: str) -> Json | Failure:
        return Failure("INTERNAL", "no", error_id="e") if fails and name == "b" else name

    computed, of = shared(outcome)
    first, beside = await asyncio.gather(of(), of())
    assert first is beside, "one that comes meanwhile is told the same"
    assert first.scope.failures.keys() == {"b"}
    assert (await of()).digests == first.digests, "the same failure, whatever its id"
    fails = False
    whole = await of()
    assert whole.scope.values == {"a": '"a"', "b": '"b"'}
    assert whole.scope.failures == {}
    assert whole.digests["a"] == first.digests["a"]
    assert whole.digests["b"] != first.digests["b"]
    await of()
    assert computed.asked == [NAMES, frozenset({"b"}), frozenset({"b"})]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    go_on = asyncio.Event()

    async def outcome(name: str) -> Json:
        await go_on.wait()
        return name

    computed, of = shared(outcome)
    leaves, stays = asyncio.ensure_future(of()), asyncio.ensure_future(of())
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    go_on.set()
    assert (await stays).scope.values.keys() == NAMES
    assert len(computed.asked) == 1


async def test_an_error_is_everybodys_and_is_not_kept() -> None:
    broken = True

    async def outcome(name: str) -> Json:
        if broken:
            raise RuntimeError("a bug")
        return name

    _, of = shared(outcome)
    results = await asyncio.gather(of(), of(), return_exceptions=True)
    assert {type(result) for result in results} == {RuntimeError}
    broken = False
    assert (await of()).scope.values.keys() == NAMES


async def test_what_is_kept_is_bounded_and_the_newest_use_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 30_000)

    async def outcome(name: str) -> Json:
        return "x" * 4_000

    computed, of = shared(outcome)
    for version in range(1, 11):
        await of(version)
        await of(1)
    assert len(computed.asked) == 10
    await of(2)
    assert len(computed.asked) == 11
