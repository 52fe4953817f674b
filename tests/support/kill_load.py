"""Clients that work on while their server is killed and comes back, and what they were told by it.

Writers commit to several records at once; each call is made by the SDK until it is answered. Callers start runs, follow
them to their end and know what each must have left. :meth:`Load.assert_kept` compares all that with a database.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from flowstate_client import (
    ActionFailed,
    ActionInterrupted,
    Backoff,
    ClientConfig,
    Event,
    FlowStateClient,
    RequestStatus,
    StateWrite,
)
from flowstate_server.testing.waiting import until
from tests.support.fault_flows import KIND, Job, text_of
from tests.support.whole_database import COMPLETED, CUSTOM, FAILED, INTERRUPTED, ITEM_DELTA

CONFIG = ClientConfig(timeout=120.0, connect_timeout=5.0, backoff=Backoff(initial=0.02, maximum=0.3))
WRITERS = 3
CALLERS = 5
VALUES = 150
SHARED = "everyone"
MESSAGE, TOOL_OUTPUT = 1, 4
STATUSES = {
    RequestStatus.COMPLETED: COMPLETED,
    RequestStatus.FAILED: FAILED,
    RequestStatus.INTERRUPTED: INTERRUPTED,
}


@dataclass
class Series:
    """The values that one writer pushes into one session, counting in a user's record at once."""

    session: str
    user: str
    asked: list[int] = field(default_factory=list)
    acknowledged: int = 0


@dataclass
class Told:
    """One request: what was asked for, and what a client has seen of it."""

    request_id: str
    session: str
    job: Job
    acknowledged: bool = False
    events: list[Event] = field(default_factory=list)
    status: RequestStatus | None = None

    @property
    def under_way(self) -> bool:
        return bool(self.events) and self.status is None


class Load:
    def __init__(self, client: FlowStateClient, follower: FlowStateClient, chance: random.Random) -> None:
        self.series: list[Series] = []
        self.runs: list[Told] = []
        self.shared_versions: list[int] = []
        self.shared_asked = 0
        self._client = client
        self._follower = follower
        self._chance = chance
        self._numbers = count(1)
        self._stopped = False

    def start(self, group: asyncio.TaskGroup) -> None:
        workers = [self._write] * WRITERS + [self._call] * CALLERS
        for work in workers:
            group.create_task(work())

    def stop(self) -> None:
        """Begin nothing more; what was begun is brought to its end."""
        self._stopped = True

    async def busy(self) -> None:
        """Wait until calls were answered and runs are under way."""
        answered = len(self.shared_versions) + 10
        await until(
            lambda: len(self.shared_versions) >= answered and sum(run.under_way for run in self.runs) >= 2,
            40.0,
            what="load",
        )

    async def _write(self) -> None:
        while not self._stopped:
            number = next(self._numbers)
            series = Series(f"written-{number}", f"writer-{number}")
            await self._client.sessions.create(KIND, session_id=series.session, user_id=series.user)
            self.series.append(series)
            while not self._stopped and len(series.asked) < VALUES:
                await self._push(series)
                await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def _push(self, series: Series) -> None:
        series.asked.append(next(self._numbers))
        self.shared_asked += 1
        async with self._client.state.batch() as batch:
            session = batch.session(series.session)
            session.inc_state(count=1)
            session.push_state("values", series.asked[-1])
            own = batch.user(series.user, flow_kind=KIND)
            own.inc_state(count=1)
            shared = batch.user(SHARED, flow_kind=KIND)
            shared.inc_state(count=1)
        series.acknowledged += 1
        assert session.result == own.result == StateWrite(series.acknowledged, changed=True)
        assert shared.result is not None
        self.shared_versions.append(shared.result.version)

    async def _call(self) -> None:
        session = f"called-{next(self._numbers)}"
        ways = [self._dispatched, self._streamed, self._called]
        while not self._stopped:
            number = next(self._numbers)
            job = Job(number=number, steps=self._chance.randint(3, 15), pause=self._chance.uniform(0.01, 0.1))
            told = Told(f"req_{number}", session, job)
            self.runs.append(told)
            await self._chance.choice(ways)(told)
            if told.status is RequestStatus.INTERRUPTED:
                await self._attach(told)

    async def _dispatched(self, told: Told) -> None:
        run = await self._client.flows.dispatch(KIND, "work", told.job, **_of(told))
        told.acknowledged = True
        seen: list[Event] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(told, self._client))
            group.create_task(self._also_follow(run.request_id, seen))
        assert [event.event_id for event in seen] == [event.event_id for event in told.events]

    async def _streamed(self, told: Told) -> None:
        stream = self._client.flows.stream(KIND, "work", told.job, **_of(told))
        async for event in stream:
            told.acknowledged = True
            told.events.append(event)
        told.status = _status_of(told.events)

    async def _called(self, told: Told) -> None:
        try:
            output = await self._client.flows.call(KIND, "work", told.job, **_of(told))
        except ActionFailed as failed:
            status = failed.status
        else:
            assert output == told.job.number
            status = RequestStatus.COMPLETED
        told.acknowledged = True
        await self._follow(told, self._follower)
        assert told.status is status

    async def _attach(self, told: Told) -> None:
        """The same call again finds the interrupted request and runs nothing."""
        run = await self._client.flows.dispatch(KIND, "work", told.job, **_of(told))
        assert run.attached
        with pytest.raises(ActionInterrupted):
            await run.result()

    async def _follow(self, told: Told, client: FlowStateClient) -> None:
        async for event in client.flows.handle(told.request_id).events():
            told.events.append(event)
        told.status = _status_of(told.events)

    async def _also_follow(self, request_id: str, seen: list[Event]) -> None:
        async for event in self._follower.flows.handle(request_id).events():
            seen.append(event)  # noqa: PERF401 - kept if the tail breaks

    def assert_kept(self, database: sqlite3.Connection) -> None:
        """All that was acknowledged is in the database, once, and nothing that was not asked for."""
        for series in self.series:
            self._assert_series(database, series)
        shared = _state(database, 3, SHARED)["count"] if self.shared_versions else 0
        assert len(self.shared_versions) <= shared <= self.shared_asked
        assert len(set(self.shared_versions)) == len(self.shared_versions)
        for told in self.runs:
            _assert_run(database, told)

    def assert_finished(self, database: sqlite3.Connection) -> None:
        """As :meth:`assert_kept`, after the end of the load: every call was answered."""
        self.assert_kept(database)
        assert self.series
        assert all(series.acknowledged == len(series.asked) for series in self.series)
        assert sorted(self.shared_versions) == list(range(1, self.shared_asked + 1))

    @property
    def statuses(self) -> set[RequestStatus | None]:
        """How the runs have ended."""
        return {told.status for told in self.runs}

    def _assert_series(self, database: sqlite3.Connection, series: Series) -> None:
        state = _state(database, 2, series.session)
        values = state.get("values", [])
        assert values == series.asked[: len(values)]
        assert series.acknowledged <= len(values)
        assert state.get("count", 0) == len(values)
        assert _state(database, 3, series.user).get("count", 0) == len(values)


def _assert_run(database: sqlite3.Connection, told: Told) -> None:
    found = database.execute(
        "SELECT request, status FROM requests JOIN request_heads USING (request) WHERE request_id = ?",
        (told.request_id,),
    ).fetchall()
    assert len(found) == 1 or not (told.acknowledged or found), told
    for request, status in found:
        types = database.execute(
            "SELECT type, payload FROM events WHERE request = ? ORDER BY sequence", (request,)
        ).fetchall()
        assert [event.sequence for event in told.events] == list(range(1, len(told.events) + 1))
        assert len(told.events) <= len(types)
        if told.status is not None:
            assert len(told.events) == len(types)
            assert status == STATUSES[told.status]
        _assert_emitted(database, request, told.job, types, status)


def _assert_emitted(
    database: sqlite3.Connection, request: int, job: Job, events: list[tuple[int, bytes]], status: int
) -> None:
    """What the block emitted is there in order: all of it if the request completed, else the beginning."""
    steps = [json.loads(payload)["data"] for kind, payload in events if kind == CUSTOM]
    text = "".join(json.loads(payload)["text"] for kind, payload in events if kind == ITEM_DELTA)
    query = "SELECT kind, content FROM items WHERE request = ? ORDER BY place"
    items = [(kind, json.loads(content)) for kind, content in database.execute(query, (request,))]
    emitted = [
        (MESSAGE, {"parts": [{"type": "text", "text": text_of(job)}]}),
        (TOOL_OUTPUT, {"call_id": f"sum {job.number}", "output": job.number}),
    ]
    assert steps == list(range(len(steps)))
    assert text_of(job).startswith(text)
    if status == FAILED and items:  # the message was closed with its text so far
        emitted[0] = (MESSAGE, {"parts": [{"type": "text", "text": text}]})
    assert items == emitted[: len(items)]
    if status == COMPLETED:
        assert (len(steps), text, len(items)) == (job.steps, text_of(job), 2)


def _state(database: sqlite3.Connection, kind: int, id: str) -> dict[str, Any]:
    found = database.execute("SELECT text FROM states WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    state: dict[str, Any] = json.loads(found[0]) if found else {}
    return state


def _of(told: Told) -> dict[str, Any]:
    return {"session_id": told.session, "user_id": "caller", "request_id": told.request_id}


def _status_of(events: list[Event]) -> RequestStatus:
    return {
        "request.completed": RequestStatus.COMPLETED,
        "request.failed": RequestStatus.FAILED,
        "request.interrupted": RequestStatus.INTERRUPTED,
    }[events[-1].type]


@asynccontextmanager
async def load_on(target: str, chance: random.Random) -> AsyncIterator[Load]:
    """A load that runs until the ``with`` ends, and is then brought to its end."""
    async with (
        FlowStateClient.connect(target, plane="trusted", config=CONFIG) as client,
        FlowStateClient.connect(target, plane="trusted", config=CONFIG) as follower,
    ):
        load = Load(client, follower, chance)
        async with asyncio.TaskGroup() as group:
            load.start(group)
            yield load
            load.stop()
