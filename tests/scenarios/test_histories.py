"""What clients of several server processes on one database are told is what one after another could have been told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import Backoff, ClientConfig, Event, FlowStateClient, FlowStateError, ScopeHandle
from flowstate_client.state_verbs import StateVerbs
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.testing.history import (
    History,
    Key,
    Outcome,
    Recorder,
    check_log,
    check_tails,
    entries_of_client,
    read_history,
    require_history,
    require_none,
)
from flowstate_server.testing.recorded_client import RecordedStates
from flowstate_server.testing.server_process import ServerProcess, server_processes
from flowstate_server.testing.waiting import until
from tests.support.flows import APP, app

KIND = "ledger"
SESSIONS = ["session 0", "session 1"]
USERS = ["ada", "bob"]
CONFIG = ClientConfig(timeout=1.5, connect_timeout=1.0, backoff=Backoff(initial=0.02, maximum=0.2))


def schema_of(key: Key) -> ScopeSchema:
    scope = ScopeKind.SESSION if key[0] == "session_id" else ScopeKind.USER
    return app.catalogue.get(KIND).described.schemas[scope]


class Writer:
    """Writes and reads at random through any of the clients, until it has made so many calls."""

    def __init__(self, name: str, clients: Sequence[FlowStateClient], path: Path) -> None:
        self.recorder = Recorder(name, path)
        self._name = name
        self._states = [RecordedStates(client, self.recorder) for client in clients]
        self._chance = random.Random(name)

    async def run(self, calls: int) -> None:
        with self.recorder:
            for number in range(calls):
                with suppress(FlowStateError):
                    await self._call(number)

    async def _call(self, number: int) -> None:
        chance = self._chance
        states = chance.choice(self._states)
        records = self._records(states)
        match chance.randrange(6):
            case 0:
                await states.read(*records)
            case 1:
                async with states.batch() as batch:
                    self._operate(batch.session(chance.choice(SESSIONS)))
                    self._operate(batch.user(chance.choice(USERS), flow_kind=KIND))
            case 2:
                key = f"{self._name} {number}"
                repeats = (self._batch(states, key) for states in chance.sample(self._states, 2))
                await asyncio.gather(*repeats)
            case 3:
                await chance.choice(records).at(number).inc_state(count=1)
            case _:
                await self._operate(chance.choice(records))

    async def _batch(self, states: RecordedStates, key: str) -> None:
        """The same batch for the same key."""
        chance = random.Random(key)
        async with states.batch(idempotency_key=key) as batch:
            self._operate(batch.session(chance.choice(SESSIONS)), chance)

    def _operate(self, record: StateVerbs[Any], chance: random.Random | None = None) -> Any:
        chance = chance or self._chance
        value = chance.randrange(3)
        match chance.randrange(6):
            case 0:
                return record.inc_state(count=1, total=0.5)
            case 1:
                return record.patch_state({f"f{chance.randrange(4)}": value})
            case 2:
                return record.push_state("names", f"{self._name} {value}")
            case 3:
                return record.set_state_record("by_key", f"k{chance.randrange(9)}", value)
            case 4:
                return record.unset_state(f"f{chance.randrange(4)}")
            case _:
                return record.inc_state(count=value)

    def _records(self, states: RecordedStates) -> list[ScopeHandle]:
        sessions = [states.session(name) for name in SESSIONS]
        return [*sessions, *(states.user(name, flow_kind=KIND) for name in USERS)]


async def _clients(stack: AsyncExitStack, servers: Sequence[ServerProcess]) -> list[FlowStateClient]:
    clients = [
        await stack.enter_async_context(
            FlowStateClient.connect(server.target, plane="trusted", config=CONFIG)
        )
        for server in servers
    ]
    for name in SESSIONS:
        await clients[0].sessions.create(KIND, session_id=name, user_id="ada")
    return clients


async def _final(clients: Sequence[FlowStateClient]) -> History:
    """What every server shows in the end."""
    last = Recorder("last")
    for client in clients:
        states = RecordedStates(client, last)
        records = [states.session(name) for name in SESSIONS]
        await states.read(*records, *(states.user(name, flow_kind=KIND) for name in USERS))
    return last.history


@pytest.mark.parametrize("calls", [100, pytest.param(1_500, marks=pytest.mark.soak)])
async def test_clients_of_three_server_processes_have_one_history(
    calls: int, shared_url: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"writer-{number}.jsonl" for number in range(8)]
    async with server_processes(3, APP, store=shared_url) as servers, AsyncExitStack() as stack:
        clients = await _clients(stack, servers)
        writers = [Writer(path.stem, clients, path) for path in paths]
        await asyncio.gather(*(writer.run(calls) for writer in writers))
        last = await _final(clients)
    history = History.merged([read_history(*paths), last])
    assert len(history.answered) > 6 * calls
    require_history(history, schema_of)


async def test_what_a_killed_server_did_not_answer_happened_once_or_not(
    shared_url: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"writer-{number}.jsonl" for number in range(4)]
    async with server_processes(2, APP, store=shared_url) as servers, AsyncExitStack() as stack:
        clients = await _clients(stack, servers)
        writers = [Writer(path.stem, clients, path) for path in paths]
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.run(100))
            for killed in servers:
                calls = _count(writers) + 60
                await until(lambda calls=calls: _count(writers) >= calls, what="calls")  # type: ignore[misc]
                killed.kill()
                await killed.start()
        last = await _final(clients)
    history = History.merged([read_history(*paths), last])
    assert sum(call.outcome is Outcome.UNKNOWN for call in history.calls) < 100
    require_history(history, schema_of)


def _count(writers: Sequence[Writer]) -> int:
    return sum(len(writer.recorder.history.answered) for writer in writers)


async def test_tails_at_several_servers_see_one_log(shared_url: str) -> None:
    async with server_processes(2, APP, store=shared_url) as servers, AsyncExitStack() as stack:
        clients = await _clients(stack, servers)
        run = await clients[0].flows.dispatch(
            KIND, "flood", {"count": 300}, session_id=SESSIONS[0], user_id="ada"
        )

        async def tail(client: FlowStateClient) -> list[Event]:
            return [event async for event in client.flows.handle(run.request_id).events()]

        tails = await asyncio.gather(*(tail(client) for client in clients for _ in range(3)))
    logs = [entries_of_client(events) for events in tails]
    assert len(logs[0]) > 300
    require_none(check_tails(logs))
    for log in logs:
        require_none(check_log(log))
