"""Each committed write adds exactly 1 to its record's version; what changes nothing commits nothing."""

from __future__ import annotations

import asyncio
import random

import pytest

from flowstate_client import ApiError, FlowStateClient, ScopeHandle, StateWrite
from tests.support.fleets import Fleet

Write = StateWrite | ApiError


async def _some_write(record: ScopeHandle, dice: random.Random) -> Write:
    """One of many writes; some change nothing, some are refused."""
    key, value = f"k{dice.randrange(3)}", dice.randrange(2)
    try:
        match dice.randrange(8):
            case 0:
                return await record.inc_state(count=value)
            case 1:
                return await record.patch_state({f"f{dice.randrange(3)}": value})
            case 2:
                return await record.set_state_record("by_key", key, value)
            case 3:
                return await record.delete_state_record("by_key", key)
            case 4:
                return await record.unset_state("f0", "f1")
            case 5:
                return await record.push_state("names", *["x"] * value)
            case 6:
                return await record.patch_state(count="many")
            case _:
                return await record.at(dice.randrange(5)).inc_state(count=1)
    except ApiError as refused:
        return refused


async def test_the_final_version_is_the_number_of_changing_writes(fleet: Fleet) -> None:
    dice = random.Random(7)
    session = await fleet.client(0).sessions.create("ledger", user_id="ada")
    writes = await asyncio.gather(
        *(_some_write(fleet.client(n).state.session(session.id), dice) for n in range(200))
    )
    refused = [write for write in writes if isinstance(write, ApiError)]
    changing = [write.version for write in writes if isinstance(write, StateWrite) and write.changed]
    idle = [write.version for write in writes if isinstance(write, StateWrite) and not write.changed]
    assert {error.reason for error in refused} == {"SCHEMA_VIOLATION", "VERSION_MISMATCH"}
    assert sorted(changing) == list(range(1, len(changing) + 1))
    assert idle
    assert set(idle) <= {0, *changing}
    record = await fleet.client(1).state.session(session.id).get()
    assert record.version == len(changing)


async def test_a_record_never_written_has_version_0_and_does_not_exist(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    for record in (backend.state.session(session.id), backend.state.user("ada", flow_kind="ledger")):
        before = await record.get()
        assert (before.version, before.exists) == (0, False)
        assert await record.unset_state("count") == StateWrite(0, changed=False)
        assert not (await record.get()).exists
        assert await record.at(0).inc_state(count=1) == StateWrite(1, changed=True)
        assert (await record.get()).exists


async def test_several_operations_at_once_are_one_version(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    record = backend.state.session(session.id)
    async with record.batch() as batch:
        batch.inc_state(count=1)
        batch.inc_state(count=1)
        batch.push_state("names", "x", "y")
        batch.set_state_record("by_key", "k", 1)
    assert batch.result == StateWrite(1, changed=True)
    async with record.batch() as undone:
        undone.inc_state(count=1)
        undone.inc_state(count=-1)
    assert undone.result == StateWrite(1, changed=False)


async def test_writing_what_is_stored_changes_nothing(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    record = backend.state.session(session.id)
    await record.patch_state(count=3, names=["x"], by_key={"k": 1}, total=1.5)
    same = [
        record.patch_state(count=3),
        record.inc_state(count=0, total=0.0),
        record.push_state("names"),
        record.set_state_record("by_key", "k", 1),
        record.delete_state_record("by_key", "other"),
        record.unset_state("f7"),
        record.set_state({"count": 3, "names": ["x"], "by_key": {"k": 1}, "total": 1.5}),
    ]
    assert await asyncio.gather(*same) == [StateWrite(1, changed=False)] * len(same)


@pytest.mark.parametrize("scope", ["session", "user"])
async def test_a_run_is_told_the_version_that_it_made(backend: FlowStateClient, scope: str) -> None:
    versions = [
        await backend.flows.call("ledger", "bump", {"scope": scope}, session_id="s", user_id="ada")
        for _ in range(3)
    ]
    assert versions == [1, 2, 3]
