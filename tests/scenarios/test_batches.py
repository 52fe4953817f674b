"""Commits over several records are all or nothing; preconditions hold or nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from flowstate_client import (
    ApiError,
    FlowStateClient,
    MutationAtFault,
    Scope,
    StateBatch,
    StateWrite,
    VersionMismatch,
)
from tests.support.fleets import Fleet

SCOPES = ("session", "user", "org")


async def _session(client: FlowStateClient) -> str:
    session = await client.sessions.create("ledger", user_id="ada", org_id="acme")
    return session.id


async def _records(client: FlowStateClient, session_id: str) -> dict[str, tuple[int, Any]]:
    """Version and state of the session's records."""
    handles = {
        "session": client.state.session(session_id),
        "user": client.state.user("ada", flow_kind="ledger"),
        "org": client.state.org("acme", flow_kind="ledger"),
    }
    read = await asyncio.gather(*(handle.get() for handle in handles.values()))
    return {
        name: (record.version, record.state if record.exists else None)
        for name, record in zip(handles, read, strict=True)
    }


def _write_all(batch: StateBatch, session_id: str) -> None:
    batch.session(session_id).inc_state(count=1)
    batch.user("ada", flow_kind="ledger").inc_state(count=1)
    batch.org("acme", flow_kind="ledger").push_state("names", "x")


async def test_a_batch_writes_every_record_once(backend: FlowStateClient) -> None:
    session = await _session(backend)
    async with backend.state.batch() as batch:
        _write_all(batch, session)
        batch.session(session).push_state("names", "y")
        batch.user("ada", flow_kind="ledger").at(0)
    assert batch.session(session).result == StateWrite(1, changed=True)
    after = await _records(backend, session)
    assert [after[name][0] for name in SCOPES] == [1, 1, 1]
    assert after["session"][1]["names"] == ["y"]
    assert after["user"][1]["count"] == 1
    assert after["org"][1]["names"] == ["x"]


Spoil = Callable[[StateBatch], object]

ORG = MutationAtFault(2, Scope.ORG, "acme")

SPOILED: dict[str, tuple[str, MutationAtFault, Spoil]] = {
    "schema": (
        "SCHEMA_VIOLATION",
        ORG,
        lambda batch: batch.org("acme", flow_kind="ledger").patch_state(count="x"),
    ),
    "unknown field": (
        "SCHEMA_VIOLATION",
        ORG,
        lambda batch: batch.org("acme", flow_kind="ledger").patch_state(other=1),
    ),
    "type": (
        "STATE_TYPE_CONFLICT",
        MutationAtFault(1, Scope.USER, "ada"),
        lambda batch: batch.user("ada", flow_kind="ledger").inc_state(names=1),
    ),
    "version": ("VERSION_MISMATCH", ORG, lambda batch: batch.org("acme", flow_kind="ledger").at(5)),
    "exists": ("VERSION_MISMATCH", ORG, lambda batch: batch.org("acme", flow_kind="ledger").if_exists(False)),
    "another record": (
        "VERSION_MISMATCH",
        MutationAtFault(3, Scope.USER, "eve"),
        lambda batch: batch.user("eve", flow_kind="ledger").if_exists(),
    ),
    "overflow": (
        "STATE_TYPE_CONFLICT",
        ORG,
        lambda batch: batch.org("acme", flow_kind="ledger").inc_state(count=2**63 - 1),
    ),
    "no session": (
        "SESSION_NOT_FOUND",
        MutationAtFault(3, Scope.SESSION, "never"),
        lambda batch: batch.session("never").inc_state(count=1),
    ),
    "no flow": (
        "FLOW_NOT_FOUND",
        MutationAtFault(3, Scope.USER, "eve"),
        lambda batch: batch.user("eve", flow_kind="nope").inc_state(count=1),
    ),
    "too large": (
        "STATE_TOO_LARGE",
        ORG,
        lambda batch: batch.org("acme", flow_kind="ledger").patch_state(motto="x" * 2**20),
    ),
}


async def _commit(batch: StateBatch, session: str, spoil: Spoil) -> None:
    async with batch:
        _write_all(batch, session)
        spoil(batch)


@pytest.mark.parametrize("spoiled", SPOILED)
async def test_one_refused_part_refuses_the_whole_batch(backend: FlowStateClient, spoiled: str) -> None:
    reason, mutation, spoil = SPOILED[spoiled]
    session = await _session(backend)
    await backend.state.org("acme", flow_kind="ledger").inc_state(count=1)
    before = await _records(backend, session)
    batch = backend.state.batch()
    with pytest.raises(ApiError) as raised:
        await _commit(batch, session, spoil)
    assert (raised.value.reason, raised.value.mutation) == (reason, mutation)
    assert await _records(backend, session) == before
    assert batch.session(session).result is None


async def test_an_exception_in_the_block_commits_nothing(backend: FlowStateClient) -> None:
    session = await _session(backend)
    with pytest.raises(ZeroDivisionError):
        await _commit(backend.state.batch(), session, lambda _: 1 / 0)
    assert all(version == 0 for version, _ in (await _records(backend, session)).values())


async def test_preconditions(backend: FlowStateClient) -> None:
    record = backend.state.session(await _session(backend))
    assert await record.at(0).inc_state(count=1) == StateWrite(1, changed=True)
    with pytest.raises(VersionMismatch) as raised:
        await record.at(0).inc_state(count=1)
    assert raised.value.current_version == 1
    with pytest.raises(VersionMismatch):
        await record.if_exists(False).inc_state(count=1)
    assert (await record.if_exists().inc_state(count=1)).version == 2
    assert (await record.get()).state["count"] == 2


async def test_a_precondition_alone_checks_and_writes_nothing(backend: FlowStateClient) -> None:
    session = await _session(backend)
    user = backend.state.user("ada", flow_kind="ledger")
    await user.inc_state(count=1)
    async with backend.state.batch() as batch:
        checked = batch.user("ada", flow_kind="ledger").at(1)
        batch.session(session).inc_state(count=1)
    assert checked.result == StateWrite(1, changed=False)
    assert (await user.get()).version == 1


async def test_of_many_writers_at_one_version_one_wins(fleet: Fleet) -> None:
    session = await _session(fleet.client(0))
    outcomes = await asyncio.gather(
        *(fleet.client(n).state.session(session).at(0).patch_state(count=n) for n in range(20)),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, VersionMismatch)]
    won = [outcome for outcome in outcomes if outcome not in lost]
    assert won == [StateWrite(1, changed=True)]
    assert {error.current_version for error in lost} == {1}


async def test_crossing_batches_over_the_same_records_all_land(fleet: Fleet) -> None:
    """Transfers back and forth between two users: each is whole, so the sum never changes."""
    clients = fleet.clients
    await clients[0].state.user("a", flow_kind="ledger").inc_state(count=100)
    await clients[0].state.user("b", flow_kind="ledger").inc_state(count=100)

    async def transfer(number: int) -> None:
        giver, taker = ("a", "b") if number % 2 else ("b", "a")
        async with fleet.client(number).state.batch() as batch:
            batch.user(giver, flow_kind="ledger").inc_state(count=-number)
            batch.user(taker, flow_kind="ledger").inc_state(count=number)

    await asyncio.gather(*(transfer(number) for number in range(1, 51)))
    a, b = [await clients[-1].state.user(name, flow_kind="ledger").get() for name in "ab"]
    assert (a.state["count"], b.state["count"]) == (125, 75)
    assert (a.version, b.version) == (51, 51)
