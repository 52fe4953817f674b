"""Listing sessions: order, filters, pages that stay right."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.reads import ListedSession, Place, SessionFilter, SessionPosition
from flowstate_server.stores.contract.writes import UpdateSession
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import new_session, note, open_scene
from flowstate_server.testing.store_contract.harness import StoreHarness

ALL = SessionFilter(NO_TENANT)


def ids(listed: list[ListedSession]) -> list[str]:
    return [one.record.key.session_id for one in listed]


def place(position: SessionPosition) -> tuple[int, str]:
    return position.create_time, position.session_id


async def every(store: Store, which: SessionFilter = ALL, *, limit: int = 100) -> list[ListedSession]:
    """All pages."""
    found: list[ListedSession] = []
    after: SessionPosition | None = None
    while True:
        page = await store.list_sessions(which, limit=limit, after=after)
        assert len(page.sessions) <= limit
        found.extend(page.sessions)
        if page.next is None:
            return found
        assert after is None or place(page.next) < place(after), "a page that is not the last must get on"
        after = page.next


async def check_newest_session_first(harness: StoreHarness) -> None:
    """Sessions are listed by create time, newest first, over pages of any size."""
    store = await harness.open()
    assert await every(store) == []
    names = [f"session-{name}" for name in "cabed"]
    for name in names:
        await store.commit((new_session(name),))
    for limit in (1, 2, 5, 100):
        assert ids(await every(store, limit=limit)) == names[::-1]


async def check_sessions_of_one_moment_by_id_descending(harness: StoreHarness) -> None:
    """Sessions of the same create time are listed by id descending, by code point."""
    store = await harness.open()
    names = ["b", "a", "B", "é", "z", "~", "a b", "𝄞"]
    await store.commit(tuple(new_session(name) for name in names))
    listed = await every(store)
    assert len({one.record.create_time for one in listed}) == 1
    assert ids(listed) == sorted(names, reverse=True)
    for limit in (1, 3):
        assert ids(await every(store, limit=limit)) == sorted(names, reverse=True)


async def check_pages_stay_right_while_sessions_are_added(harness: StoreHarness) -> None:
    """Sessions created between two pages neither repeat nor hide others."""
    store = await harness.open()
    for number in range(7):
        await store.commit((new_session(f"old-{number}"),))
    seen: list[ListedSession] = []
    after: SessionPosition | None = None
    while True:
        page = await store.list_sessions(ALL, limit=2, after=after)
        seen.extend(page.sessions)
        if page.next is None:
            break
        after = page.next
        await store.commit((new_session(f"new-{len(seen)}"),))
    assert ids(seen) == [f"old-{number}" for number in range(6, -1, -1)]


async def check_filters(harness: StoreHarness) -> None:
    """Each filter of a listing, and any of them together, picks the right sessions; empty differs from absent."""
    store = await harness.open()
    await store.commit((new_session("1", user="ada", org="acme"),))
    await store.commit((new_session("2", user="ada"),))
    await store.commit((replace(new_session("3", user="bob", org="acme"), flow_kind="other"),))
    await store.commit((replace(new_session("4", user="bob"), ephemeral=True),))
    await store.commit((new_session("5", tenant="tenant", user="ada", org="acme"),))
    for which, wanted in (
        (ALL, "321"),
        (replace(ALL, include_ephemeral=True), "4321"),
        (replace(ALL, user_id="ada"), "21"),
        (replace(ALL, user_id="bob", include_ephemeral=True), "43"),
        (replace(ALL, user_id="nobody"), ""),
        (replace(ALL, user_id=""), ""),
        (replace(ALL, org_id="acme"), "31"),
        (replace(ALL, org_id=""), "2"),
        (replace(ALL, org_id="", include_ephemeral=True), "42"),
        (replace(ALL, flow_kind="chat"), "21"),
        (replace(ALL, flow_kind="other", user_id="bob", org_id="acme"), "3"),
        (SessionFilter(Tenant("tenant")), "5"),
        (SessionFilter(Tenant("unknown")), ""),
    ):
        for limit in (1, 100):
            assert ids(await every(store, which, limit=limit)) == list(wanted), which


async def check_listed_session_is_the_record(harness: StoreHarness) -> None:
    """A listed session is the record as read by its key, with the time of its last event."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((UpdateSession(scene.session, {"title": "t", "metadata": {"k": 1}}),))
    appended = await scene.append(note())
    [listed] = await every(store)
    assert listed.record == await store.get_session(scene.session)
    assert listed.activity_time == appended.time


async def check_walk_meets_every_session_once(harness: StoreHarness) -> None:
    """A walk meets every live session of every tenant once, in pages, though others come and go meanwhile."""
    store = await harness.open()
    for number in range(12):
        await store.commit((new_session(f"session-{number}", tenant=f"tenant-{number % 3}"),))
    await store.commit((DeleteSession(SessionKey(Tenant("tenant-1"), "session-1")),))
    met: list[SessionKey] = []
    place: Place | None = None
    while not met or place is not None:
        walk = await store.walk_sessions(after=place, limit=5)
        met += [life.key for life in walk.sessions]
        place = walk.next
        for life in walk.sessions[-1:]:
            await store.commit((DeleteSession(life.key),))
        await store.commit((new_session(f"late-{len(met)}", tenant="tenant-0"),))
    expected = {
        SessionKey(Tenant(f"tenant-{number % 3}"), f"session-{number}") for number in range(12) if number != 1
    }
    assert len(met) == len({*met})
    assert {key for key in met if key.session_id.startswith("session")} == expected
    [life] = [one for one in (await store.walk_sessions(after=None, limit=100)).sessions if one.key == met[0]]
    assert (life.log_id, life.flow_kind, life.ephemeral) == (f"log-{met[0].session_id}", "chat", False)
    assert (life.head.key, life.head.log_id, life.head.sequence) == (met[0], life.log_id, 0)
