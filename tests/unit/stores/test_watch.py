"""What a watch keeps of pages that it was told."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.events import Event, EventRecord, EventType, LogHead
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.watch import (
    TOLD_PAGES,
    WOKEN_AT_ONCE,
    Topic,
    TopicKind,
    Watch,
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


def watching(*, pages: bool = True) -> Watch:
    return WatchHub().open((TOPIC,), pages=pages)


async def test_pages_come_one_after_another_and_nobody_waits_for_them() -> None:
    watch = watching()
    watch.wake(page(3, 5))
    watch.wake(page(5, 6))
    await soon(watch.wait())
    assert watch.next_page("log", 3) == page(3, 5)
    assert watch.is_woken
    await soon(watch.wait())
    assert watch.next_page("log", 5) == page(5, 6)
    assert not watch.is_woken


async def test_what_the_reader_has_read_meanwhile_is_left_out() -> None:
    watch = watching()
    for told in (page(0, 2), page(2, 3), page(3, 4)):
        watch.wake(told)
    assert watch.next_page("log", 3) == page(3, 4)


@pytest.mark.parametrize("told", [page(4, 5), page(3, 5, "of another incarnation")], ids=["gap", "log"])
async def test_what_does_not_follow_has_to_be_read_and_all_behind_it(told: EventPage) -> None:
    watch = watching()
    watch.wake(told)
    watch.wake(page(5, 6))
    assert watch.next_page("log", 3) is None
    assert watch.next_page("log", 5) is None


async def test_a_page_over_the_place_of_the_reader_is_left_out() -> None:
    watch = watching()
    watch.wake(page(1, 3))
    assert watch.next_page("log", 2) is None


async def test_there_is_something_to_read_ahead_of_the_pages() -> None:
    watch = watching()
    watch.wake()
    watch.wake(page(3, 4))
    assert watch.next_page("log", 3) is None
    await soon(watch.wait())
    watch.wake(page(4, 5))
    assert watch.next_page("log", 4) == page(4, 5)


async def test_who_is_told_to_look_has_no_pages_any_more() -> None:
    watch = watching()
    watch.wake(page(3, 4))
    watch.wake()
    await soon(watch.wait())
    assert watch.next_page("log", 3) is None


async def test_a_reader_who_is_busy_for_long_has_to_read() -> None:
    watch = watching()
    for number in range(TOLD_PAGES + 1):
        watch.wake(page(number, number + 1))
    assert watch.next_page("log", 0) is None
    watch.wake(page(TOLD_PAGES + 1, TOLD_PAGES + 2))
    assert watch.next_page("log", TOLD_PAGES + 1) is None
    await soon(watch.wait())
    assert not watch.is_woken


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


async def test_a_reader_waits_no_longer_than_it_may() -> None:
    watch = watching()
    assert not await soon(watch.wait(Seconds(0.01)))
    assert not await soon(watch.wait(Seconds(0)))
    watch.wake()
    assert await soon(watch.wait(Seconds(0.01)))
    watch.close()


async def test_a_wake_up_is_kept_for_a_reader_who_is_cancelled_in_its_moment() -> None:
    watch = watching()
    waiting = asyncio.create_task(watch.wait())
    await asyncio.sleep(0)
    watch.wake()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert watch.is_woken


async def test_a_watch_has_one_reader() -> None:
    watch = watching()
    waiting = asyncio.create_task(watch.wait())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one reader"):
        await watch.wait()
    watch.wake()
    assert await soon(waiting)
