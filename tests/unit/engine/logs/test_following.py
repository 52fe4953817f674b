"""Following: nothing that is committed falls between two readings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flowstate_server.engine.logs.following import Following, topic_of
from flowstate_server.model.clock import SECOND, Micros, Seconds
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.payloads import Custom
from flowstate_server.model.scopes import LogKey, RequestKey, SessionKey
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.watch import TopicKind, Watch, WatchHub
from flowstate_server.stores.contract.writes import AppendEvents, CreateRequest, CreateSession, RenewLease
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.waiting import soon

REQUEST = RequestKey(Tenant("acme"), "r")
SESSION = SessionKey(Tenant("acme"), "s")
LOGS = (REQUEST, SESSION)

CREATED = CreateSession(key=SESSION, log_id="log", flow_kind="chat", user_id="ada")
REQUESTED = CreateRequest(
    key=REQUEST,
    session=SESSION,
    log_id="request-log",
    user_id="ada",
    org_id="",
    fingerprint="",
    process="process",
    flow_kind="chat",
    action="say",
    scopes=(),
    input=b"null",
)
NOTE = Event(EventType.CUSTOM, Custom("note", None).encode(), FOR_CLIENTS)


class Numbers:
    """What is kept: a number that a writer counts up and tells of; a reading gives at most ``step`` more."""

    def __init__(self, watch: Watch, hub: WatchHub, log: LogKey) -> None:
        self.newest = 0
        self.position = 0
        self.step = 1_000
        self.reads = 0
        self._hub = hub
        self._log = log
        self.following = Following(watch, self._read, more=lambda number: number < self.newest)

    def write(self, number: int) -> None:
        self.newest = number
        self._hub.wake((topic_of(self._log),))

    async def _read(self) -> int:
        self.reads += 1
        await asyncio.sleep(0)
        self.position = min(self.newest, self.position + self.step)
        return self.position


@pytest.fixture(params=LOGS, ids=lambda log: type(log).__name__)
def numbers(request: pytest.FixtureRequest) -> Iterator[Numbers]:
    hub = WatchHub()
    with hub.open((topic_of(request.param),)) as watch:
        yield Numbers(watch, hub, request.param)


def test_the_topics_of_logs() -> None:
    assert topic_of(REQUEST) == (TopicKind.REQUEST, "acme", "r")
    assert topic_of(SESSION) == (TopicKind.SESSION, "acme", "s")


async def test_the_first_reading_waits_for_nothing(numbers: Numbers) -> None:
    assert await soon(numbers.following.next()) == 0


async def test_it_reads_on_while_there_is_more_and_then_waits(numbers: Numbers) -> None:
    numbers.newest, numbers.step = 5, 2
    assert [await soon(numbers.following.next()) for _ in range(3)] == [2, 4, 5]
    upcoming = asyncio.create_task(numbers.following.next())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (upcoming.done(), numbers.reads) == (False, 3)
    numbers.write(6)
    assert await soon(upcoming) == 6


async def test_what_is_written_before_it_waits_is_not_missed(numbers: Numbers) -> None:
    await numbers.following.next()
    numbers.write(1)
    assert await soon(numbers.following.next()) == 1


async def test_what_is_written_during_a_reading_is_not_missed(numbers: Numbers) -> None:
    reading = asyncio.create_task(numbers.following.next())
    await asyncio.sleep(0)
    numbers.write(1)
    await reading
    assert await soon(numbers.following.next()) == 1


async def test_it_reads_at_the_latest_after_a_time(numbers: Numbers) -> None:
    await numbers.following.next()
    numbers.newest = 1  # and nobody tells
    assert await soon(numbers.following.next(at_latest=Seconds(0.001))) == 1


async def test_a_reading_that_breaks_is_repeated_at_once() -> None:
    hub = WatchHub()
    answers: list[int | Exception] = [1, ValueError("broken"), 2]

    async def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with hub.open((topic_of(REQUEST),)) as watch:
        following = Following(watch, read)
        assert await following.next() == 1
        watch.wake()
        with pytest.raises(ValueError, match="broken"):
            await following.next()
        assert await soon(following.next()) == 2


async def test_a_look_that_breaks_without_news_is_not_repeated_before_there_is_some() -> None:
    hub = WatchHub()
    answers: list[int | Exception] = [1, ValueError("broken"), 2]

    async def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with hub.open((topic_of(REQUEST),)) as watch:
        following = Following(watch, read)
        assert await following.next() == 1
        with pytest.raises(ValueError, match="broken"):
            await following.next(at_latest=Seconds(0.001))
        upcoming = asyncio.create_task(following.next())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not upcoming.done()
        watch.wake()
        assert await soon(upcoming) == 2


@pytest.mark.parametrize("log", LOGS, ids=lambda log: type(log).__name__)
async def test_a_log_of_a_store_is_followed_whose_ever_it_is(log: LogKey) -> None:
    store = MemoryStore()
    await store.open()
    await store.commit((RenewLease("process", Micros(60 * SECOND), start=True), CREATED, REQUESTED))
    position = 0

    async def read() -> EventPage:
        page = await store.read_events(log, after=position, limit=2, max_bytes=1_000)
        assert page is not None
        return page

    seen = []
    with store.watch((topic_of(log),)) as watch:
        following = Following(watch, read, more=lambda page: page.end < page.head.sequence)
        for count in (1, 3, 5):
            await store.commit((AppendEvents(SESSION, (NOTE,) * count, REQUEST),))
            newest = position + count
            while position < newest:
                page = await soon(following.next())
                position = page.end
                seen += [record.event for record in page.events]
    assert seen == [NOTE] * 9
    await store.close()
