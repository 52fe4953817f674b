"""A row whose text can't be parsed costs its record: it is named in the log, and the rest is served and written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from flowstate_server.errors import InternalError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey, SessionKey, user_scope
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.lists import ItemRange, RequestFilter
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.writes import AppendEvents, Batch, CommitResult
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    events_of,
    increment,
    item_done,
    new_session,
    note,
    open_scene,
    state_of,
)
from tests.stores.damage import execute
from tests.support.store_urls import SHARED, new_store_url

SESSIONS = 12
BROKEN = SessionKey(NO_TENANT, "session-3")
REQUEST = RequestKey(NO_TENANT, "request-3")

Damaged = tuple[Store, str]


@pytest.fixture(params=SHARED)
async def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Damaged]:
    """A store of twelve sessions with a request each, and its URL."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(new_store_url(request.param, tmp_path))
        store = store_from_url(url)
        await store.open()
        for number in range(SESSIONS):
            scene = await open_scene(store, f"session-{number}", f"request-{number}")
            await scene.append(note("a"), note("b"))
        await store.close()
        store = store_from_url(url)  # which remembers no rows
        await store.open()
        stack.push_async_callback(store.close)
        yield store, url


async def test_a_session_that_is_damaged_fails_alone(
    damaged: Damaged, caplog: pytest.LogCaptureFixture
) -> None:
    store, url = damaged
    assert await execute(url, f"UPDATE sessions SET metadata = {{}} WHERE session_id = '{BROKEN.session_id}'")
    for use in (store.get_session(BROKEN), store.read_projection(BROKEN, ())):
        with pytest.raises(DamagedRecord, match="session-3"):
            await use
    listed = (await store.list_sessions(SessionFilter(NO_TENANT), limit=SESSIONS)).sessions
    assert len(listed) == SESSIONS - 1
    assert "session-3" in caplog.text
    pages = await _pages(store)
    assert pages == [one.record.key.session_id for one in listed]
    caplog.clear()
    append = [
        (AppendEvents(SessionKey(NO_TENANT, f"session-{number}"), (note(),)),) for number in range(SESSIONS)
    ]
    answers = await _all(store, *append)
    assert [type(answer) for answer in answers] == [
        InternalError if number == 3 else CommitResult for number in range(SESSIONS)
    ]
    assert "session-3" in caplog.text
    [again] = await _all(store, (new_session(BROKEN.session_id),))
    assert isinstance(again, InternalError)


async def _pages(store: Store) -> list[str]:
    """Those that were passed over must not end the list."""
    found: list[str] = []
    after = None
    while True:
        page = await store.list_sessions(
            SessionFilter(NO_TENANT, include_ephemeral=True), limit=3, after=after
        )
        found += [one.record.key.session_id for one in page.sessions]
        if page.next is None:
            return found
        after = page.next


async def _all(store: Store, *batches: Batch) -> list[CommitResult | BaseException]:
    return await asyncio.gather(*map(store.commit, batches), return_exceptions=True)


async def test_a_request_that_is_damaged_fails_alone(damaged: Damaged) -> None:
    store, url = damaged
    assert await execute(url, f"UPDATE requests SET scopes = {{}} WHERE request_id = '{REQUEST.request_id}'")
    with pytest.raises(DamagedRecord, match="request-3"):
        await store.get_request(REQUEST)
    assert len(await store.read_running(PROCESS, limit=99)) == SESSIONS - 1
    assert len(await events_of(store, REQUEST)) == 2
    assert await store.get_request(RequestKey(NO_TENANT, "request-4")) is not None


async def test_lists_leave_out_what_is_damaged(damaged: Damaged, caplog: pytest.LogCaptureFixture) -> None:
    store, url = damaged
    scene = await open_scene(store, "session-1", "request-items")
    await scene.append(item_done("one"), item_done("two"), item_done("three"))
    assert await execute(url, f"UPDATE requests SET scopes = {{}} WHERE request_id = '{REQUEST.request_id}'")
    assert await execute(url, "UPDATE items SET kind = 99 WHERE length(item_id) = 5")
    for limit in (1, 99):
        requests: list[str] = []
        after = None
        while True:
            page = await store.list_requests(
                RequestFilter(NO_TENANT), limit=limit, max_bytes=10**6, after=after
            )
            requests += [one.key.request_id for one in page.requests]
            after = page.end
            if after is None:
                break
        assert len(requests) == SESSIONS
        assert REQUEST.request_id not in requests
    items = await store.list_items(ItemRange(scene.session, "log-session-1"), limit=9, max_bytes=10**6)
    assert items is not None
    assert [record.item.item_id for record in items.items] == ["one", "two"]
    assert "request-3" in caplog.text
    assert "session-1" in caplog.text


async def test_an_event_that_is_damaged_fails_the_page_it_is_in(damaged: Damaged) -> None:
    store, url = damaged
    statement = (
        "UPDATE events SET block_path = {} WHERE sequence = 2 AND request = (SELECT request FROM requests"
    )
    assert await execute(url, f"{statement} WHERE request_id = '{REQUEST.request_id}')")
    with pytest.raises(DamagedRecord, match=r"request-3.*2"):
        await events_of(store, REQUEST)
    assert len(await events_of(store, RequestKey(NO_TENANT, "request-4"))) == 2


async def test_only_the_batches_that_need_a_damaged_state_are_refused(damaged: Damaged) -> None:
    store, url = damaged
    ada, bob = user_scope("ada"), user_scope("bob")
    await store.commit((increment(ada), increment(bob)))
    await store.close()
    await store.open()
    assert await execute(url, "UPDATE states SET text = {} WHERE id = 'ada'")
    batches: list[Batch] = [(increment(ada if number % 10 == 3 else bob),) for number in range(40)]
    answers = await _all(store, *batches)
    refused = [number for number, answer in enumerate(answers) if not isinstance(answer, CommitResult)]
    assert refused == [3, 13, 23, 33]
    assert all("'ada'" in str(answers[number]) for number in refused)
    assert (await state_of(store, bob)).version == 1 + 36
