"""Sessions that are deleted: gone in one commit, then emptied in bounded steps, and remembered for a while."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    RequestNotFoundError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import (
    DocumentKey,
    DocumentRange,
    request_owner,
    session_owner,
)
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.journal import Note, journal_range
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.resolve_keys import resolve_key, resolved_document
from flowstate_server.model.scopes import RequestKey, SessionKey, request_scope, session_scope
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.document_writes import AppendJournal, PutDocument
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    Exists,
    RequestCancel,
    RequireRun,
    RequireSession,
    SessionChanged,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    Scene,
    events_of,
    finish,
    head_of,
    item_done,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

KEY = SessionKey(NO_TENANT, "session-1")
LOG = "log-session-1"
NEW = "another-log"
STATE = session_scope(KEY)
HOUR = Micros(3600 * SECOND)
HELD = resolve_key(NO_TENANT, "chat", "ada", {"n": 1})


async def _filled(store: Store, ended: int = 1) -> Scene:
    """A session with everything that a session has; the scene is of its request that runs."""
    for number in range(ended):
        scene = await open_scene(store, request_id=f"ended-{number}")
        await scene.append(note(transient=True), item_done(f"item-{number}"), note("kept"))
        await scene.commit(PutDocument(DocumentKey(request_owner(scene.request), "kind", ("a",)), b"1"))
        await scene.finish()
    running = await open_scene(store, request_id="running")
    await running.append(note("r"))
    await running.commit(
        replace(put(request_scope(running.request), {"of": "request"}), request=running.request)
    )
    await store.commit(
        (
            put(STATE, {"of": "session"}),
            AppendEvents(KEY, (note("outside"), note("outside", transient=True))),
            AppendJournal(KEY, LOG, (Note("entry-1", "text"),)),
            PutDocument(DocumentKey(session_owner(KEY, LOG), "kind", ("a",)), b"1"),
            HoldResolveKey(KEY, LOG, HELD),
        )
    )
    return running


async def _deleted(store: Store, ended: int = 1) -> Scene:
    running = await _filled(store, ended)
    await store.commit((DeleteSession(KEY, LOG, held=HELD),))
    return running


async def emptied(store: Store, *, retention: Micros = HOUR, limit: int = 3) -> list[int]:
    """Sweep until nothing is left to do; gives what each step told."""
    swept: list[int] = []
    while not swept or swept[-1]:
        swept.append(await store.sweep_sessions(retention=retention, limit=limit))
    return swept


async def check_deleted_session_is_gone_in_one_commit(harness: StoreHarness) -> None:
    """A deleted session is a tombstone without its fields, its open requests are aborted; no read finds any of it."""
    store = await harness.open()
    running = await _filled(store)
    before = await store.get_session(KEY)
    result = (await store.commit((DeleteSession(KEY, LOG, held=HELD),))).results[0]
    assert (result.id, result.ids, result.changed) == ("session-1", ("running",), True)
    assert before is not None
    tombstone = await store.get_session(KEY)
    assert tombstone is not None
    assert tombstone.deleted
    assert (tombstone.log_id, tombstone.version, tombstone.title) == (LOG, before.version, "")
    assert await store.read_projection(KEY, ()) is None
    assert not (await store.list_sessions(SessionFilter(NO_TENANT), limit=10)).sessions
    for request_id in ("ended-0", running.request.request_id):
        key = RequestKey(NO_TENANT, request_id)
        assert await store.get_request(key) is None
        assert await store.read_events(key, after=0, limit=10, max_bytes=1 << 20) is None
    assert list(await store.read_running(PROCESS, limit=10)) == []
    assert list(await store.read_cancelled(PROCESS)) == []
    state = await state_of(store, STATE)
    assert (state.exists, state.version, state.text) == (False, 1, b"{}")
    assert await store.load_documents((resolved_document(HELD),)) == {}


async def check_deleted_session_takes_no_writes(harness: StoreHarness) -> None:
    """Writes to a deleted session are refused, those of its runs and repeats of its requests as of ids never used."""
    store = await harness.open()
    running = await _deleted(store)
    session: tuple[Write, ...] = (
        new_session(),
        new_request(KEY, "another"),
        AppendEvents(KEY, (note(),)),
        put(STATE, {}),
        RequireSession(KEY, LOG),
        AppendJournal(KEY, LOG, (Note("entry-2", "text"),)),
        DeleteSession(KEY),
    )
    for write in session:
        with refused(SessionNotFoundError):
            await store.commit((write,))
    requests: tuple[Write, ...] = (
        RequireRun(running.request, PROCESS),
        RequestCancel(running.request, "why"),
        AppendEvents(KEY, (note(),), running.request),
        finish(running.request),
        put(request_scope(running.request), {}),
    )
    for write in requests:
        with refused(RequestNotFoundError):
            await store.commit((write,))
    await store.commit((replace(new_session(), log_id=NEW, exclusive=True),))
    for request_id in ("ended-0", "running"):
        with refused(RequestNotFoundError):
            await store.commit((new_request(KEY, request_id),))


async def check_preconditions_of_a_deletion(harness: StoreHarness) -> None:
    """A deletion whose version or incarnation does not hold deletes nothing; one of nothing is refused."""
    store = await harness.open()
    with refused(SessionNotFoundError):
        await store.commit((DeleteSession(KEY),))
    await store.commit((new_session(),))
    with refused(VersionMismatchError):
        await store.commit((DeleteSession(KEY, precondition=AtVersion(7)),))
    with refused(SessionChanged):
        await store.commit((DeleteSession(KEY, NEW),))
    assert await store.read_projection(KEY, ()) is not None
    for precondition in (AtVersion(1, NEW), Exists(True, NEW)):
        with refused(VersionMismatchError):
            await store.commit((DeleteSession(KEY, precondition=precondition),))
    await store.commit((DeleteSession(KEY, LOG, precondition=AtVersion(1, LOG)),))
    with refused(SessionNotFoundError):
        await store.commit((DeleteSession(KEY, LOG),))


async def check_only_idle_sessions_expire(harness: StoreHarness) -> None:
    """A deletion for idleness takes only a session in which nothing has happened since and no request is open."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((new_session("session-2"),))
    idle = SessionKey(NO_TENANT, "session-2")
    now = await store.time()
    for write in (
        DeleteSession(KEY, LOG, idle_since=Micros(now + SECOND)),
        DeleteSession(idle, "log-session-2", idle_since=Micros(now - HOUR)),
        DeleteSession(idle, NEW, idle_since=Micros(now + SECOND)),
        DeleteSession(SessionKey(NO_TENANT, "never"), NEW, idle_since=Micros(now + SECOND)),
    ):
        assert not (await store.commit((write,))).results[0].changed
    await scene.finish()
    for key, log_id in ((KEY, LOG), (idle, "log-session-2")):
        write = DeleteSession(key, log_id, idle_since=await store.time())
        assert (await store.commit((write,))).results[0].changed
        assert not (await store.commit((write,))).results[0].changed


async def check_deletion_wakes_who_follows(harness: StoreHarness) -> None:
    """A deletion wakes who watches the session, its open requests and their process, though nothing is open in it."""
    store = await harness.open()
    kinds = (TopicKind.SESSION, TopicKind.SESSION_DOCUMENTS, TopicKind.REQUEST, TopicKind.PROCESS)
    for number, kind in enumerate(kinds):
        scene = await open_scene(store, f"session-{number}", f"request-{number}")
        topics = {
            TopicKind.REQUEST: Topic(kind, *scene.request),
            TopicKind.PROCESS: Topic(kind, NO_TENANT, PROCESS),
        }
        with store.watch((topics.get(kind, Topic(kind, *scene.session)),)) as watch:
            await store.commit((DeleteSession(scene.session),))
            await watch.wait()
    await store.commit((new_session("quiet"),))
    quiet = SessionKey(NO_TENANT, "quiet")
    with store.watch((Topic(TopicKind.SESSION, *quiet),)) as watch:
        await store.commit((DeleteSession(quiet),))
        await watch.wait()


async def check_what_a_deleted_session_leaves_goes_in_steps(harness: StoreHarness) -> None:
    """Sweeps remove what a deleted session has left in bounded steps, and keep its tombstone and its requests' ids."""
    store = await harness.open()
    await _deleted(store, ended=5)
    swept = await emptied(store)
    assert len(swept) > 3
    assert all(gone <= 10 for gone in swept)
    assert list(await store.read_documents(journal_range(KEY, LOG, limit=10))) == []
    assert list(await store.read_documents(DocumentRange(session_owner(KEY, LOG), "kind", 10))) == []
    owner = request_owner(RequestKey(NO_TENANT, "ended-0"))
    assert list(await store.read_documents(DocumentRange(owner, "kind", 10))) == []
    page = await store.read_events(KEY, after=0, limit=10, max_bytes=1 << 20)
    assert page is not None
    assert (page.events, page.head.ended) == ((), True)
    assert (await state_of(store, request_scope(RequestKey(NO_TENANT, "running")))).version == 0
    tombstone = await store.get_session(KEY)
    assert tombstone is not None
    assert tombstone.deleted
    with refused(SessionNotFoundError):
        await store.commit((new_session(),))
    await store.commit((new_session("session-2"),))
    with refused(RequestNotFoundError):
        await store.commit((new_request(SessionKey(NO_TENANT, "session-2"), "ended-3"),))
    assert await store.get_request(RequestKey(NO_TENANT, "ended-3")) is None


async def check_forgotten_session_counts_as_never_used(harness: StoreHarness) -> None:
    """Once the tombstone is swept nothing is known of the session, its state and its requests' ids."""
    store = await harness.open()
    await _deleted(store)
    await emptied(store, retention=Micros(0))
    assert await store.get_session(KEY) is None
    assert await store.read_events(KEY, after=0, limit=10, max_bytes=1 << 20) is None
    assert (await state_of(store, STATE)).version == 0
    scene = await open_scene(store, request_id="running")
    await scene.append(note("new"))
    made = await store.commit((put(STATE, {"of": "another"}),))
    assert made.results[0].version == 1
    assert [event.session_sequence for event in await events_of(store, scene.request)] == [1]
    session = await store.get_session(KEY)
    assert session is not None
    assert (session.version, session.deleted) == (1, False)


async def check_session_made_anew_loses_nothing(harness: StoreHarness) -> None:
    """A session that is made anew before or while the old one is emptied keeps all it has; its versions go on."""
    store = await harness.open()
    await _deleted(store, ended=3)
    await store.sweep_sessions(retention=Micros(0), limit=2)
    made = await store.commit((replace(new_session(), log_id=NEW, exclusive=True), put(STATE, {"of": "new"})))
    assert [result.version for result in made.results] == [2, 2]
    ended = await open_scene(store, request_id="new-ended")
    await ended.append(item_done("new"))
    await ended.finish()
    running = await open_scene(store, request_id="new-running")
    await running.append(note("new"))
    await store.commit((AppendJournal(KEY, NEW, (Note("entry-1", "new"),)),))
    await emptied(store, retention=Micros(0))
    assert [event.session_sequence for event in await events_of(store, KEY)] == [1, 2, 3]
    assert [one.item.item_id for one in await store.read_turns(KEY, NEW, newest=10)] == ["new"]
    assert len(await store.read_documents(journal_range(KEY, NEW, limit=10))) == 1
    assert (await state_of(store, STATE)).text == b'{"of":"new"}'
    assert (await head_of(store, running.request)).status is RequestStatus.IN_PROGRESS
    assert (await head_of(store, ended.request)).status is RequestStatus.COMPLETED
    await running.append(note("more"))
    await running.finish()
    assert (await store.commit((new_request(KEY, "ended-0"),))).attached is None


async def check_emptying_goes_on_after_reopening(harness: StoreHarness) -> None:
    """What was left when the data was closed is swept when it is open again, of a session made anew too."""
    store = await harness.open()
    await _deleted(store, ended=4)
    await store.sweep_sessions(retention=HOUR, limit=2)
    store = await harness.reopen(store)
    assert await store.get_request(RequestKey(NO_TENANT, "ended-3")) is None
    await store.commit((replace(new_session(), log_id=NEW, exclusive=True),))
    store = await harness.reopen(store)
    await emptied(store)
    store = await harness.reopen(store)
    with refused(RequestNotFoundError):
        await store.commit((new_request(KEY, "ended-3"),))
    assert list(await store.read_documents(DocumentRange(session_owner(KEY, LOG), "kind", 10))) == []
    await emptied(store, retention=Micros(0))
    assert await store.sweep_sessions(retention=Micros(0), limit=10) == 0
    assert (await store.commit((new_request(KEY, "ended-3"),))).attached is None
    assert await events_of(store, KEY) == []


async def check_several_may_empty_at_once(harness: StoreHarness) -> None:
    """Handles that sweep at the same time leave nothing and take nothing too much."""
    first, second = await harness.open(), await harness.open()
    await _deleted(first, ended=6)
    await open_scene(second, "session-2", "other")
    while any([await one.sweep_sessions(retention=Micros(0), limit=3) for one in (first, second)]):
        pass
    assert await second.get_session(KEY) is None
    assert (await head_of(first, RequestKey(NO_TENANT, "other"))).status is RequestStatus.IN_PROGRESS
