"""What a watch keeps of pages that it was told."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.events import Event, EventRecord, EventType, LogHead
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract import watch as contract
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.watch import (
    TOLD_PAGES,
    WOKEN_AT_ONCE,
    Topic,
    TopicKind,
    WatchHub,
)
from flowstate_server.testing.waiting import soon

TENANT = Tenant("acme")
TOPIC = Topic(TopicKind.REQUEST, TENANT, "r")
NOTE = Event(EventType.CUSTOM, b'{"name":"note","data":null}', FOR_CLIENTS)


def page(after: int, end: int, log_id: str = "log") -> EventPage:
    events = [
        EventRecord(NOTE, SessionKey(TENANT, "s"), "session-log", place, "r", place, Micros(0))
        for place in range(after + 1, end + 1)
    ]
    return EventPage(tuple(events), LogHead(log_id, end, ended=False), end)


class Watched:
    """A watch for pages, and the hub that wakes it."""

    def __init__(self) -> None:
        self.hub = WatchHub()
        self.watch = self.hub.open((TOPIC,), pages=True)

    def tell(self, told: EventPage | None = None) -> None:
        self.hub.wake((TOPIC,), {} if told is None else {TOPIC: told})


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_pages_come_one_after_another_and_nobody_waits_for_them(watched: Watched) -> None:
    watch = watched.watch
    watched.tell(page(3, 5))
    watched.tell(page(5, 6))
    await soon(watch.wait())
    assert watch.next_page("log", 3) == page(3, 5)
    assert watch.is_woken
    await soon(watch.wait())
    assert watch.next_page("log", 5) == page(5, 6)
    assert not watch.is_woken


async def test_what_the_reader_has_read_meanwhile_is_left_out(watched: Watched) -> None:
    watch = watched.watch
    for told in (page(0, 2), page(2, 3), page(3, 4)):
        watched.tell(told)
    assert watch.next_page("log", 3) == page(3, 4)


@pytest.mark.parametrize("told", [page(4, 5), page(3, 5, "of another incarnation")], ids=["gap", "log"])
async def test_what_does_not_follow_has_to_be_read_and_all_behind_it(
    watched: Watched, told: EventPage
) -> None:
    watch = watched.watch
    watched.tell(told)
    watched.tell(page(5, 6))
    assert watch.next_page("log", 3) is None
    assert watch.next_page("log", 5) is None


async def test_a_page_over_the_place_of_the_reader_is_left_out(watched: Watched) -> None:
    watch = watched.watch
    watched.tell(page(1, 3))
    assert watch.next_page("log", 2) is None


async def test_there_is_something_to_read_ahead_of_the_pages(watched: Watched) -> None:
    watch = watched.watch
    watched.tell()
    watched.tell(page(3, 4))
    assert watch.next_page("log", 3) is None
    await soon(watch.wait())
    watched.tell(page(4, 5))
    assert watch.next_page("log", 4) == page(4, 5)


async def test_who_is_told_to_look_has_no_pages_any_more(watched: Watched) -> None:
    watch = watched.watch
    watched.tell(page(3, 4))
    watched.tell()
    await soon(watch.wait())
    assert watch.next_page("log", 3) is None


async def test_a_reader_who_is_busy_for_long_has_to_read(watched: Watched) -> None:
    watch = watched.watch
    for number in range(TOLD_PAGES + 1):
        watched.tell(page(number, number + 1))
    assert watch.next_page("log", 0) is None
    watched.tell(page(TOLD_PAGES + 1, TOLD_PAGES + 2))
    assert watch.next_page("log", TOLD_PAGES + 1) is None
    await soon(watch.wait())
    assert not watch.is_woken


async def test_what_was_told_ahead_of_a_removal_has_to_be_read(watched: Watched) -> None:
    watched.tell(page(3, 4))
    watched.hub.removals += 1
    assert watched.watch.next_page("log", 3) is None
    await soon(watched.watch.wait())
    watched.tell(page(4, 5))
    assert watched.watch.next_page("log", 4) == page(4, 5)


async def test_what_was_told_long_ago_has_to_be_read(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "FRESH_SECONDS", -1.0)
    watched.tell(page(3, 4))
    assert watched.watch.next_page("log", 3) is None


async def test_who_has_not_asked_for_pages_keeps_none() -> None:
    hub = WatchHub()
    watch = hub.open((TOPIC,))
    assert not hub.wants_pages(TOPIC)
    hub.wake((TOPIC,), {TOPIC: page(0, 1)})
    assert watch.is_woken
    assert watch.next_page("log", 0) is None
    with hub.open((TOPIC,), pages=True):
        assert hub.wants_pages(TOPIC)
    assert not hub.wants_pages(TOPIC)


async def test_those_of_one_topic_are_woken_a_few_in_a_turn() -> None:
    hub = WatchHub()
    watches = [hub.open((TOPIC,), pages=True) for _ in range(2 * WOKEN_AT_ONCE + 1)]
    hub.wake((TOPIC,), {TOPIC: page(0, 1)})
    woken = []
    for _ in range(3):
        woken.append(sum(watch.is_woken for watch in watches))
        await asyncio.sleep(0)
    assert woken == [WOKEN_AT_ONCE, 2 * WOKEN_AT_ONCE, 2 * WOKEN_AT_ONCE + 1]
    assert all(watch.next_page("log", 0) == page(0, 1) for watch in watches)


async def test_a_reader_waits_no_longer_than_it_may(watched: Watched) -> None:
    watch = watched.watch
    assert not await soon(watch.wait(Seconds(0.01)))
    assert not await soon(watch.wait(Seconds(0)))
    watched.tell()
    assert await soon(watch.wait(Seconds(0.01)))
    watch.close()


async def test_a_wake_up_is_kept_for_a_reader_who_is_cancelled_in_its_moment(watched: Watched) -> None:
    watch = watched.watch
    waiting = asyncio.create_task(watch.wait())
    await asyncio.sleep(0)
    watched.tell()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert watch.is_woken


async def test_a_watch_has_one_reader(watched: Watched) -> None:
    watch = watched.watch
    waiting = asyncio.create_task(watch.wait())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one reader"):
        await watch.wait()
    watched.tell()
    assert await soon(waiting)
