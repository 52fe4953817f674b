"""Sessions: creation, incarnations, metadata."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import SessionAlreadyExistsError, SessionNotFoundError, VersionMismatchError
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import SessionKey, session_scope
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    CreateSession,
    Exists,
    Precondition,
    RequireSession,
    SessionChanged,
    UpdateSession,
)
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

KEY = SessionKey(NO_TENANT, "session-1")


async def check_session_is_kept_as_created(harness: StoreHarness) -> None:
    """A session comes back as it was created."""
    store = await harness.open()
    create = CreateSession(
        KEY,
        "log",
        "chat",
        "ada",
        org_id="acme",
        ephemeral=True,
        title="Title",
        description="Words",
        tags=("b", "a"),
        metadata={"z": 1, "a": [None, 1.5, "ü"]},
    )
    result = await store.commit((create,))
    session = await store.get_session(KEY)
    assert session == result.results[0].session
    assert session is not None
    assert (session.log_id, session.flow_kind, session.user_id, session.org_id) == (
        "log",
        "chat",
        "ada",
        "acme",
    )
    assert (session.title, session.description, session.tags) == ("Title", "Words", ("b", "a"))
    assert (session.ephemeral, session.version, session.deleted) == (True, 1, False)
    assert session.metadata == {"z": 1, "a": [None, 1.5, "ü"]}
    assert session.create_time == session.update_time == result.time
    assert (result.results[0].id, result.results[0].version) == ("session-1", 1)


async def check_unknown_session_is_none(harness: StoreHarness) -> None:
    """A session that was never created reads as absent."""
    store = await harness.open()
    assert await store.get_session(KEY) is None
    assert await store.read_projection(KEY, ()) is None


async def check_live_session_is_not_created_again(harness: StoreHarness) -> None:
    """The id of a live session can't be taken again."""
    store = await harness.open()
    await store.commit((new_session(),))
    with refused(SessionAlreadyExistsError, session_id="session-1"):
        await store.commit((replace(new_session(), exclusive=True, title="other"),))
    with refused(SessionChanged):
        await store.commit((new_session(),))
    session = await store.get_session(KEY)
    assert session is not None
    assert session.title == ""


async def check_racing_creators_make_one_session(harness: StoreHarness) -> None:
    """Of creators at once exactly one makes the session."""
    store = await harness.open()
    answers = await settled(*(store.commit((new_session(exclusive=True),)) for _ in range(8)))
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert sum(isinstance(answer, SessionAlreadyExistsError) for answer in answers) == 7


async def check_racing_creators_of_two_handles_make_one_session(harness: StoreHarness) -> None:
    """The same through two handles."""
    one, other = await harness.open(), await harness.open()
    for number in range(10):
        create = new_session(f"session-{number}", exclusive=True)
        answers = await settled(one.commit((create,)), other.commit((create,)))
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1, answers
        assert sum(isinstance(answer, SessionAlreadyExistsError) for answer in answers) == 1, answers


async def check_require_session(harness: StoreHarness) -> None:
    """A batch may ask for a session's incarnation and is refused for another one."""
    store = await harness.open()
    with refused(SessionNotFoundError, session_id="session-1"):
        await store.commit((RequireSession(KEY, "log-session-1"),))
    await store.commit((new_session(),))
    result = await store.commit((RequireSession(KEY, "log-session-1"),))
    assert not result.results[0].changed
    with refused(SessionChanged):
        await store.commit((RequireSession(KEY, "another"), increment(session_scope(KEY))))
    assert not (await state_of(store, session_scope(KEY))).exists


async def check_writes_on_an_unknown_session_are_refused(harness: StoreHarness) -> None:
    """No write finds a session that was never created."""
    store = await harness.open()
    for write in (
        AppendEvents(KEY, (note(),)),
        UpdateSession(KEY, {"title": "t"}),
        put(session_scope(KEY), {}),
        new_request(KEY),
    ):
        with refused(SessionNotFoundError, session_id="session-1"):
            await store.commit((write,))


async def check_metadata_update(harness: StoreHarness) -> None:
    """An update replaces the named fields, adds 1 to the version and appends its event to the request's log."""
    store = await harness.open()
    scene = await open_scene(store)
    result = await store.commit((UpdateSession(KEY, {"title": "New", "tags": ["x"]}, scene.request),))
    session = await store.get_session(KEY)
    assert session is not None
    assert (session.title, session.tags, session.version) == ("New", ("x",), 2)
    assert session.update_time == result.time
    assert (result.results[0].version, result.results[0].changed) == (2, True)
    [event] = await events_of(store, scene.request)
    assert event.event.type is EventType.SESSION_METADATA_CHANGED
    assert decode_json(event.event.payload) == {"paths": ["title", "tags"], "version": 2}


async def check_metadata_update_outside_a_request(harness: StoreHarness) -> None:
    """An update outside a request appends its event to the session's log."""
    store = await harness.open()
    await store.commit((new_session(),))
    await store.commit((UpdateSession(KEY, {"description": "d"}),))
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert projection.head.sequence == 1
    assert projection.session.description == "d"


async def check_equal_metadata_changes_nothing(harness: StoreHarness) -> None:
    """An update with equal values writes nothing; equal means equal JSON with equal types."""
    store = await harness.open()
    await store.commit((replace(new_session(), title="t", tags=("a",), metadata={"k": 1, "l": 2}),))
    same = UpdateSession(KEY, {"title": "t", "tags": ["a"], "metadata": {"l": 2, "k": 1}})
    result = await store.commit((same,))
    assert (result.results[0].changed, result.results[0].version) == (False, 1)
    different_type = await store.commit((UpdateSession(KEY, {"metadata": {"k": 1.0, "l": 2}}),))
    assert different_type.results[0].version == 2
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert projection.head.sequence == 1


async def check_metadata_update_holds_to_its_precondition(harness: StoreHarness) -> None:
    """An update whose precondition fails, of the version or the incarnation, writes nothing and says the version."""
    store = await harness.open()
    await store.commit((new_session(),))
    held: tuple[Precondition, ...] = (AtVersion(1), Exists(True), AtVersion(3, "log-session-1"))
    for version, precondition in enumerate((*held, Exists(True, "log-session-1")), start=2):
        update = UpdateSession(KEY, {"title": f"at {version}"}, precondition=precondition)
        assert (await store.commit((update,))).results[0].version == version
    failing = (AtVersion(4), AtVersion(0), Exists(False), AtVersion(5, "other"), Exists(True, "other"))
    for precondition in failing:
        update = UpdateSession(KEY, {"title": "late"}, precondition=precondition)
        with refused(VersionMismatchError, scope="session metadata", current=5):
            await store.commit((update,))
    session = await store.get_session(KEY)
    assert session is not None
    assert (session.title, session.version) == ("at 5", 5)


async def check_metadata_fields_land_independently(harness: StoreHarness) -> None:
    """Updates of different fields at once all land."""
    store = await harness.open()
    await store.commit((new_session(),))
    await settled(
        store.commit((UpdateSession(KEY, {"title": "t"}),)),
        store.commit((UpdateSession(KEY, {"description": "d"}),)),
        store.commit((UpdateSession(KEY, {"metadata": {"k": "v"}}),)),
    )
    session = await store.get_session(KEY)
    assert session is not None
    assert (session.title, session.description, session.metadata, session.version) == (
        "t",
        "d",
        {"k": "v"},
        4,
    )


async def check_metadata_and_state_have_a_version_each(harness: StoreHarness) -> None:
    """Metadata and state of a session are versioned apart."""
    store = await harness.open()
    await store.commit((new_session(),))
    await store.commit((increment(session_scope(KEY)),))
    await store.commit((increment(session_scope(KEY)),))
    await store.commit((UpdateSession(KEY, {"title": "t"}),))
    session = await store.get_session(KEY)
    assert session is not None
    assert session.version == 2
    assert (await state_of(store, session_scope(KEY))).version == 2
