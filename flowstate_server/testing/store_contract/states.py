"""State records: versions, preconditions, incarnations, no aliasing."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    RequestNotFoundError,
    RequestTerminalError,
    ScopeUnavailableError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    AppendEvents,
    AtVersion,
    Changed,
    ChangeState,
    DeleteState,
    Exists,
    NoChange,
)
from flowstate_server.testing.store_contract.builders import (
    FOR_CLIENTS,
    events_of,
    finish,
    increment,
    incrementing,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA = user_scope("ada")


async def check_state_never_written(harness: StoreHarness) -> None:
    """A record that was never written has version 0, does not exist and reads as empty."""
    store = await harness.open()
    keys = (
        ADA,
        org_scope("acme"),
        session_scope(SessionKey(NO_TENANT, "s")),
        request_scope(RequestKey(NO_TENANT, "r")),
    )
    states = await store.load_states(keys)
    assert set(states) == set(keys)
    for key, record in states.items():
        assert (record.key, record.version, record.exists, record.state) == (key, 0, False, {})
    assert dict(await store.load_states(())) == {}


async def check_each_change_adds_one_to_the_version(harness: StoreHarness) -> None:
    """Each change adds exactly 1 to the version and is given back with its state and times."""
    store = await harness.open()
    first = await store.commit((put(ADA, {"a": 1}),))
    second = await store.commit((put(ADA, {"b": 2}),))
    assert (first.results[0].version, second.results[0].version) == (1, 2)
    record = await state_of(store, ADA)
    assert (record.version, record.exists, record.text) == (2, True, b'{"b":2}')
    assert (record.create_time, record.update_time) == (first.time, second.time)
    assert record.incarnation
    for result, state in ((first, {"a": 1}), (second, {"b": 2})):
        written = result.results[0].state
        assert written is not None
        assert (written.state, written.incarnation) == (state, record.incarnation)


async def check_two_changes_of_one_batch_see_each_other(harness: StoreHarness) -> None:
    """Changes of one record in one batch work on each other's results."""
    store = await harness.open()
    result = await store.commit((increment(ADA), increment(ADA), increment(ADA, "m")))
    assert [write.version for write in result.results] == [1, 2, 3]
    assert (await state_of(store, ADA)).state == {"n": 2, "m": 1}


async def check_no_change_writes_nothing(harness: StoreHarness) -> None:
    """A change that changes nothing leaves record, version and times alone."""
    store = await harness.open()
    await store.commit((put(ADA, {"a": 1}),))
    before = await state_of(store, ADA)

    def nothing(_: StateRecord) -> NoChange:
        return NO_CHANGE

    result = await store.commit((ChangeState(ADA, nothing),))
    assert (result.results[0].changed, result.results[0].version) == (False, 1)
    assert await state_of(store, ADA) == before
    absent = await store.commit((ChangeState(user_scope("bob"), nothing),))
    assert (absent.results[0].changed, absent.results[0].version) == (False, 0)
    assert not (await state_of(store, user_scope("bob"))).exists


async def check_preconditions(harness: StoreHarness) -> None:
    """A precondition on version or existence holds, or the write is refused with the current version."""
    store = await harness.open()
    with refused(VersionMismatchError, scope="user", expected="exists", current=0):
        await store.commit((replace(increment(ADA), precondition=Exists(True)),))
    with refused(VersionMismatchError, scope="user", expected="1", current=0):
        await store.commit((replace(increment(ADA), precondition=AtVersion(1)),))
    await store.commit((replace(increment(ADA), precondition=AtVersion(0)),))
    await store.commit((replace(increment(ADA), precondition=AtVersion(1)),))
    await store.commit((replace(increment(ADA), precondition=Exists(True)),))
    with refused(VersionMismatchError, scope="user", expected="absent", current=3):
        await store.commit((replace(increment(ADA), precondition=Exists(False)),))
    with refused(VersionMismatchError, scope="user", expected="2", current=3):
        await store.commit((replace(increment(ADA), precondition=AtVersion(2)),))
    assert (await state_of(store, ADA)).state == {"n": 3}


async def check_refused_batch_writes_nothing(harness: StoreHarness) -> None:
    """One refused precondition refuses every write of its batch."""
    store = await harness.open()
    await store.commit((put(ADA, {"n": 1}),))
    late = replace(increment(ADA), precondition=AtVersion(7))
    session = SessionKey(NO_TENANT, "session-1")
    with refused(VersionMismatchError):
        await store.commit(
            (
                new_session(),
                put(org_scope("acme"), {}),
                AppendEvents(session, (note(),)),
                increment(ADA),
                late,
            )
        )
    assert await store.get_session(session) is None
    assert not (await state_of(store, org_scope("acme"))).exists
    assert (await state_of(store, ADA)).version == 1


async def check_tombstone_continues_the_version(harness: StoreHarness) -> None:
    """A deleted record keeps its version, its next incarnation goes on from there, and old ones are refused."""
    store = await harness.open()
    await store.commit((increment(ADA), increment(ADA)))
    first = await state_of(store, ADA)
    deleted = await store.commit((DeleteState(ADA),))
    assert deleted.results[0].changed
    tombstone = await state_of(store, ADA)
    assert (tombstone.version, tombstone.exists, tombstone.state) == (2, False, {})
    again = await store.commit((DeleteState(ADA),))
    assert not again.results[0].changed
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((increment(ADA, incarnation=first.incarnation),))
    await store.commit((increment(ADA),))
    second = await state_of(store, ADA)
    assert (second.version, second.exists, second.state) == (3, True, {"n": 1})
    assert second.incarnation != first.incarnation
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((increment(ADA, incarnation=first.incarnation),))
    await store.commit((increment(ADA, incarnation=second.incarnation),))
    assert (await state_of(store, ADA)).version == 4


async def check_absent_record_is_made_unless_it_was_deleted_since(harness: StoreHarness) -> None:
    """Who noted that there is no record makes one or writes in that of others, but in none made after a deletion."""
    store = await harness.open()
    early = increment(ADA, incarnation="")
    await store.commit((early,))
    await store.commit((early,))
    await store.commit((DeleteState(ADA),))
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((early,))
    later = replace(early, absent_at=2)
    await store.commit((increment(ADA),))
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((early,))
    await store.commit((later,))
    store = await harness.reopen(store)
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((early,))
    await store.commit((DeleteState(ADA),))
    with refused(ScopeUnavailableError, scope="user"):
        await store.commit((later,))
    await store.commit((replace(early, absent_at=4),))
    assert (await state_of(store, ADA)).version == 5
    own = user_scope("ada", isolated_flow="chat")
    await store.commit((increment(own, incarnation=""), increment(own, incarnation="")))
    assert (await state_of(store, own)).version == 2


async def check_delete_has_preconditions(harness: StoreHarness) -> None:
    """A delete is refused like a write if its precondition does not hold."""
    store = await harness.open()
    with refused(VersionMismatchError, expected="exists", current=0):
        await store.commit((DeleteState(ADA, Exists(True)),))
    await store.commit((increment(ADA),))
    with refused(VersionMismatchError, expected="2", current=1):
        await store.commit((DeleteState(ADA, AtVersion(2)),))
    await store.commit((DeleteState(ADA, AtVersion(1)),))
    assert not (await state_of(store, ADA)).exists


async def check_created_deleted_and_made_anew_at_once(harness: StoreHarness) -> None:
    """A record may be created, deleted and made anew in one batch."""
    store = await harness.open()
    await store.commit((increment(ADA), DeleteState(ADA), increment(ADA)))
    record = await state_of(store, ADA)
    assert (record.version, record.exists, record.state) == (2, True, {"n": 1})


async def check_creators_that_saw_no_record_agree_on_one(harness: StoreHarness) -> None:
    """Writers that saw no record write to the one that another has made meanwhile."""
    store = await harness.open()
    await store.commit((increment(ADA, incarnation=""),))
    await store.commit((increment(ADA, incarnation=""),))
    assert (await state_of(store, ADA)).state == {"n": 2}


async def check_session_state_knows_its_session(harness: StoreHarness) -> None:
    """A session's state needs the live session, of the incarnation asked for."""
    store = await harness.open()
    scene = await open_scene(store)
    key = session_scope(scene.session)
    await store.commit((increment(key, incarnation="log-session-1"),))
    with refused(ScopeUnavailableError, scope="session"):
        await store.commit((increment(key, incarnation="another"),))
    with refused(SessionNotFoundError, session_id="unknown"):
        await store.commit((increment(session_scope(SessionKey(NO_TENANT, "unknown"))),))


async def check_request_state_lives_while_its_request_runs(harness: StoreHarness) -> None:
    """A request's state is there from its creation to its end."""
    store = await harness.open()
    key = request_scope(RequestKey(NO_TENANT, "request-1"))
    with refused(RequestNotFoundError, request_id="request-1"):
        await store.commit((increment(key),))
    scene = await open_scene(store)
    await scene.commit(increment(key))
    assert (await state_of(store, key)).state == {"n": 1}
    await scene.finish()
    record = await state_of(store, key)
    assert (record.version, record.exists, record.state) == (0, False, {})
    with refused(RequestTerminalError, request_id="request-1"):
        await store.commit((increment(key),))


async def check_request_state_written_in_the_group_of_its_end(harness: StoreHarness) -> None:
    """A request's state written right before the end goes with it."""
    store = await harness.open()
    scene = await open_scene(store)
    key = request_scope(scene.request)
    await scene.commit(increment(key), put(ADA, {}), finish(scene.request, scene.scopes))
    assert not (await state_of(store, key)).exists
    assert (await state_of(store, ADA)).exists


async def check_events_of_a_change_know_its_version(harness: StoreHarness) -> None:
    """Events that come out of a change go to the request's log and carry the version it made."""
    store = await harness.open()
    scene = await open_scene(store)

    def change(record: StateRecord) -> Changed:
        payload = b'{"version":%d}' % (record.version + 1)
        return replace(
            incrementing()(record),
            events=(Event(EventType.STATE_CHANGE, payload, FOR_CLIENTS, transient=True),),
        )

    # The batch names no session: the store finds it by the request.
    for key in (ADA, session_scope(scene.session), request_scope(scene.request)):
        await store.commit((ChangeState(key, change, request=scene.request),))
        await store.commit((ChangeState(key, change, request=scene.request),))
    events = await events_of(store, scene.request)
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.event.payload for event in events] == [b'{"version":1}', b'{"version":2}'] * 3
    assert all(event.event.transient for event in events)


async def check_events_of_a_change_outside_a_request(harness: StoreHarness) -> None:
    """Outside a request a session's change is logged in the session, a user's nowhere."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((put(session_scope(scene.session), {"a": 1}, note()), put(ADA, {"a": 1}, note())))
    projection = await store.read_projection(scene.session, ())
    assert projection is not None
    assert projection.head.sequence == 1
    assert await events_of(store, scene.request) == []
