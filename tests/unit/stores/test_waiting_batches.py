"""Tenants take turns, and large records are bounded while they do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope, user_scope
from flowstate_server.stores.commit import waiting_batches
from flowstate_server.stores.commit.waiting_batches import MOST_BYTES, WaitingBatch, WaitingBatches
from flowstate_server.stores.contract.writes import AtVersion, Batch, ChangeState, RequireRun
from flowstate_server.testing.store_contract.builders import increment, incrementing


def of(tenant: str, name: str, *, at: int | None = None) -> Batch:
    precondition = None if at is None else AtVersion(at)
    return (ChangeState(session_scope(SessionKey(Tenant(tenant), name)), incrementing(), precondition),)


def waiting(*batches: Batch) -> WaitingBatches:
    queues = WaitingBatches()
    for batch in batches:
        queues.append(WaitingBatch(batch, frozenset()))
    return queues


def _name(batch: Batch) -> str:
    key = batch[-1].key  # type: ignore[attr-defined]
    return f"{key.tenant}{key.id}"


def taken(
    queues: WaitingBatches, most: int = 64, size_of: Callable[[WaitingBatch], int] = lambda one: 0
) -> list[str]:
    return [_name(one.batch) for one in queues.take(most, size_of)]


async def test_each_tenant_in_turn_and_each_in_its_order() -> None:
    queues = waiting(*(of("a", str(number)) for number in range(4)), of("b", "0"), of("c", "0"), of("c", "1"))
    assert len(queues) == 7
    assert taken(queues) == ["a0", "b0", "c0", "a1", "c1", "a2", "a3"]
    assert not len(queues)


async def test_the_next_group_begins_with_the_next_tenant() -> None:
    queues = waiting(*(of(tenant, str(number)) for tenant in "ab" for number in range(3)))
    assert taken(queues, most=3) == ["a0", "b0", "a1"]
    assert taken(queues, most=3) == ["b1", "a2", "b2"]


async def test_what_a_group_has_left_comes_first() -> None:
    queues = waiting(*(of(tenant, str(number)) for tenant in "ab" for number in range(3)))
    group = queues.take(4, lambda one: 0)
    queues.put_back(group[1:])
    assert len(queues) == 5
    assert taken(queues) == ["b0", "a1", "b1", "a2", "b2"]


async def test_users_whom_all_tenants_share_have_queues_of_their_own() -> None:
    users = [(increment(user_scope(name)),) for name in ("ada", "ada", "bob")]
    queues = waiting(of("a", "0"), of("a", "1"), *users)
    assert taken(queues) == ["a0", f"{NO_TENANT}ada", f"{NO_TENANT}bob", "a1", f"{NO_TENANT}ada"]


async def test_what_a_run_sends_keeps_its_order() -> None:
    """Whatever records it is about."""
    run = RequireRun(RequestKey(Tenant("a"), "req_1"), "process")
    queues = waiting(of("a", "0"), (run, increment(user_scope("ada"))), of("a", "1"), of("b", "0"))
    assert taken(queues) == ["a0", "b0", f"{NO_TENANT}ada", "a1"]


async def test_who_swaps_goes_ahead_of_its_own_tenant_alone() -> None:
    swaps = [of("a", "s0", at=1), of("a", "s1", at=1)]
    queues = waiting(of("a", "0"), of("a", "1"), *swaps, of("b", "0"))
    assert taken(queues) == ["as0", "b0", "as1", "a0", "a1"]


async def test_large_records_are_bounded_while_several_tenants_commit() -> None:
    def size_of(one: WaitingBatch) -> int:
        return MOST_BYTES // 2 if "large" in _name(one.batch) else 0

    large = [of("a", f"large{number}") for number in range(4)]
    queues = waiting(*large, *(of("b", str(number)) for number in range(3)))
    assert taken(queues, size_of=size_of) == ["alarge0", "b0", "alarge1", "b1", "b2"]
    assert taken(queues, size_of=size_of) == ["alarge2", "alarge3"]


async def test_one_that_is_larger_than_all_may_be_has_its_turn() -> None:
    queues = waiting(*(of("a", str(number)) for number in range(3)), of("b", "0"))
    size_of = lambda one: 2 * MOST_BYTES if _name(one.batch)[0] == "a" else 0  # noqa: E731
    assert taken(queues, size_of=size_of) == ["a0", "b0"]
    assert taken(queues, size_of=size_of) == ["a1"], "the other tenant may be back at once"


async def test_who_is_alone_is_not_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_batches, "SEVERAL_SECONDS", 0.0)
    queues = waiting(*(of("a", str(number)) for number in range(5)))
    assert len(taken(queues, size_of=lambda one: MOST_BYTES)) == 5


async def test_callers_that_have_gone_take_no_room() -> None:
    queues = waiting(of("a", "0"), of("a", "1"))
    next(iter(queues)).answer.cancel()
    assert taken(queues, most=1) == ["a1"]
