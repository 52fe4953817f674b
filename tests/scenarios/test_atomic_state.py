"""Read-modify-write: right under contention, and given up only after the whole budget."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from flowstate_client import (
    ActionFailed,
    ApiError,
    ClientConfig,
    ConcurrentModificationError,
    FlowStateClient,
)
from flowstate_server.testing.server_process import server_process, server_processes
from tests.support.fleets import Fleet
from tests.support.flows import APP
from tests.support.intruder import add_one

PATIENT = ClientConfig(cas_attempts=200)
SWAPS = 40


async def test_tasks_of_one_client_take_turns(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    calls = 0

    def add(state: Any) -> dict[str, int]:
        nonlocal calls
        calls += 1
        return {"count": state.get("count", 0) + 1}

    record = backend.state.session(session.id)
    writes = await asyncio.gather(*(record.atomic_state(add) for _ in range(SWAPS)))
    assert sorted(write.version for write in writes) == list(range(1, SWAPS + 1))
    assert (await record.get()).state["count"] == calls == SWAPS


async def test_clients_swap_against_each_other(fleet: Fleet) -> None:
    session = await fleet.client(0).sessions.create("ledger", user_id="ada")

    async def swap(number: int) -> int:
        client = fleet.client(number)
        async with FlowStateClient.connect(client.target, plane="trusted", config=PATIENT) as own:
            record = own.state.session(session.id)
            write = await record.atomic_state(lambda state: {"count": state.get("count", 0) + 1})
            return write.version

    versions = await asyncio.gather(*(swap(number) for number in range(8)))
    assert sorted(versions) == list(range(1, 9))
    assert (await fleet.client(0).state.session(session.id).get()).state["count"] == 8


async def test_blocks_swap_against_each_other_and_against_increments(fleet: Fleet) -> None:
    """Two servers lose races to each other: who gives up says so, as retryable, and has changed nothing."""

    async def swap(number: int) -> None:
        while True:
            try:
                await fleet.client(number).flows.call("ledger", "swap", {}, session_id="s", user_id="ada")
                return
            except ActionFailed as given_up:
                if given_up.failure.reason != "WRITE_CONFLICT" or not given_up.failure.retryable:
                    raise

    async def bump(number: int) -> None:
        await fleet.client(number).flows.call("ledger", "bump", {}, session_id="s", user_id="ada")

    await bump(0)
    await asyncio.gather(
        *(swap(number) for number in range(SWAPS)), *(bump(number) for number in range(SWAPS))
    )
    record = await fleet.client(1).state.session("s").get()
    assert record.state["count"] == record.version == 2 * SWAPS + 1


async def test_a_client_gives_up_after_its_budget() -> None:
    async with (
        server_process(APP) as server,
        FlowStateClient.connect(
            server.target, plane="trusted", config=ClientConfig(cas_attempts=5)
        ) as client,
    ):
        session = await client.sessions.create("ledger", user_id="ada")
        beaten = 0

        def lose(state: Any) -> dict[str, int]:
            nonlocal beaten
            beaten = add_one(server.target, session.id)
            return {"count": -1}

        with pytest.raises(ConcurrentModificationError) as raised:
            await client.state.session(session.id).atomic_state(lose)
        assert raised.value.attempts == beaten == 5
        assert (await client.state.session(session.id).get()).state["count"] == 5

        write = await client.state.session(session.id).atomic_state(
            lambda state: {"count": state["count"] * 2}
        )
        assert write.version == 6


async def test_a_block_gives_up_after_its_budget(shared_url: str) -> None:
    async with (
        server_processes(2, APP, store=shared_url) as (runs, intrudes),
        FlowStateClient.connect(runs.target, plane="trusted", user="ada") as client,
    ):
        session = await client.sessions.create("ledger")
        losing = {"session_id": session.id, "target": intrudes.target}
        with pytest.raises(ActionFailed) as raised:
            await client.flows.call("ledger", "lose", losing, session_id=session.id)
        assert raised.value.failure.reason == "WRITE_CONFLICT"
        assert raised.value.failure.retryable
        record = await client.state.session(session.id).get()
        lost = record.version
        assert record.state["count"] == lost >= 8

        assert await client.flows.call("ledger", "swap", {}, session_id=session.id) == lost + 1


async def test_a_function_that_raises_changes_nothing_and_frees_the_record(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    record = backend.state.session(session.id)
    await record.inc_state(count=1)

    def swap(by: int) -> Coroutine[Any, Any, Any]:
        return backend.flows.call("ledger", "swap", {"by": by}, session_id=session.id, user_id="ada")

    too_much = asyncio.gather(*(swap(2**63 - 1) for _ in range(5)), return_exceptions=True)
    for failed in await too_much:
        assert isinstance(failed, ActionFailed)
        assert failed.failure.reason == "INTERNAL"
    with pytest.raises(KeyError):
        await record.atomic_state(lambda state: {"count": state["no such field"]})
    async with asyncio.timeout(10.0):
        assert await swap(1) == 2
        assert (await record.atomic_state(lambda state: {"count": state["count"] + 1})).version == 3


async def test_a_lost_swap_outside_of_atomic_state_is_not_repeated(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    record = backend.state.session(session.id)
    await record.inc_state(count=1)
    with pytest.raises(ApiError) as raised:
        await record.at(0).inc_state(count=1)
    assert raised.value.reason == "VERSION_MISMATCH"
    assert raised.value.metadata["current"] == "1"
    assert (await record.get()).state["count"] == 1
