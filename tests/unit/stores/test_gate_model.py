"""Random lives at one gate, against a model of a few lines: who has it, who waits, how each ends."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest

from flowstate_server.errors import QueueFullError
from flowstate_server.model.gates import Policy
from flowstate_server.model.records import RequestStatus
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.gate_writes import GateTaken
from flowstate_server.stores.contract.writes import RequestCancel
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract.builders import head_of, new_session
from flowstate_server.testing.store_contract.gates import (
    begin,
    coming,
    end,
    gate_of,
    key_of,
    prepare,
    whose_turn,
)

LIMIT = 4
STEPS = 150
QUEUED, RUNS = RequestStatus.QUEUED, RequestStatus.IN_PROGRESS


@dataclass
class Model:
    """``order`` are those at the gate, the one that has it first."""

    order: list[str] = field(default_factory=list)
    statuses: dict[str, RequestStatus] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)

    def come(self, name: str, session: str, policy: Policy) -> bool:
        if self.order and policy is Policy.REJECT:
            return False
        if policy is Policy.INTERRUPT:
            for one in list(self.order):
                if self.statuses[one] is QUEUED:
                    self.leave(one, RequestStatus.ABORTED)
        if len(self.order) > LIMIT:
            return False
        self.statuses[name] = QUEUED if self.order else RUNS
        self.sessions[name] = session
        self.order.append(name)
        return True

    def leave(self, name: str, status: RequestStatus) -> None:
        self.statuses[name] = status
        self.order.remove(name)

    def turn(self) -> list[str]:
        return [name for name in self.order[:1] if self.statuses[name] is QUEUED]

    def running(self) -> list[str]:
        return [name for name in self.order if self.statuses[name] is RUNS]


class Life:
    def __init__(self, store: MemoryStore, chance: random.Random) -> None:
        self.model = Model()
        self._store = store
        self._chance = chance
        self._numbers = itertools.count()
        self._sessions = ["session-1", "session-2"]

    async def step(self) -> None:
        ways = [self._come, self._come, self._come, self._begin, self._end, self._cancel, self._delete]
        await self._chance.choices(ways, weights=[4, 4, 4, 6, 4, 2, 1])[0]()

    async def check(self) -> None:
        model = self.model
        gate = await gate_of(self._store)
        order = [] if gate is None else [gate.holder, *(one.request_id for one in gate.waiting)]
        assert order == model.order
        assert await whose_turn(self._store) == model.turn()
        for name, status in model.statuses.items():
            if model.sessions[name] in self._sessions:
                assert (await head_of(self._store, key_of(name))).status is status, name

    async def _come(self) -> None:
        name, session = f"request-{next(self._numbers)}", self._chance.choice(self._sessions)
        policy = self._chance.choices(list(Policy), weights=[1, 6, 1])[0]
        let_in = self.model.come(name, session, policy)
        try:
            await self._store.commit(coming(name, session_id=session, policy=policy, limit=LIMIT))
        except (GateTaken, QueueFullError):
            assert not let_in
        else:
            assert let_in

    async def _begin(self) -> None:
        for name in self.model.turn():
            await begin(self._store, name)
            self.model.statuses[name] = RUNS

    async def _end(self) -> None:
        for name in self.model.running():
            await end(self._store, name)
            self.model.leave(name, RequestStatus.COMPLETED)

    async def _cancel(self) -> None:
        if self.model.order:
            name = self._chance.choice(self.model.order)
            await self._store.commit((RequestCancel(key_of(name), "not wanted"),))
            if self.model.statuses[name] is QUEUED:
                self.model.leave(name, RequestStatus.ABORTED)

    async def _delete(self) -> None:
        session = self._chance.choice(self._sessions)
        await self._store.commit((DeleteSession(new_session(session).key),))
        self._sessions.remove(session)
        for name in [one for one in self.model.order if self.model.sessions[one] == session]:
            self.model.leave(name, RequestStatus.ABORTED)
        anew = f"anew-{next(self._numbers)}"
        await self._store.commit((new_session(anew),))
        self._sessions.append(anew)


@pytest.mark.parametrize("seed", range(12))
async def test_a_gate_does_as_its_model_says(seed: int) -> None:
    store = MemoryStore()
    await store.open()
    await prepare(store, "session-1", "session-2")
    life = Life(store, random.Random(seed))
    for _ in range(STEPS):
        await life.step()
        await life.check()
    assert {RequestStatus.COMPLETED, RequestStatus.ABORTED} <= set(life.model.statuses.values())
    await store.close()
