"""Resources: one version for state and content, owners, limits, and content that goes when nothing refers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowstate_server.errors import (
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    ScopeUnavailableError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.resources import (
    ContentRecord,
    ResourceOwner,
    ResourceRecord,
    counts_in,
    counts_key,
    orphaned_owner,
    orphaned_owners,
    resource_in,
    resource_key,
    resource_range,
)
from flowstate_server.model.scopes import ScopeKey, session_scope, user_scope
from flowstate_server.stores.contract.blob_writes import BlobUnavailable, CompleteBlob
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.resource_writes import (
    ChangeResource,
    DeleteResource,
    ResourceChanged,
    ResourceMoved,
)
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    AtVersion,
    DeleteState,
    Exists,
    NoChange,
    SessionChanged,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.blobs import AT_ONCE, blobs_of, content
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    new_session,
    note,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.watching import woken

SESSION = new_session().key
OWNER = ResourceOwner(session_scope(SESSION), new_session().log_id)
REMEMBERED: Micros = Micros(60 * SECOND)
USER = user_scope("ada")


def putting(
    name: str,
    state: JsonObject,
    brought: ContentRecord | None = None,
    *,
    owner: ResourceOwner = OWNER,
    **terms: object,
) -> ChangeResource:
    """Replace state and content."""

    def change(record: ResourceRecord) -> ResourceChanged:
        return ResourceChanged(state, encode_json(state), brought, "text/plain")

    blob = None if brought is None else brought.blob
    return ChangeResource(owner, name, change, REMEMBERED, blob=blob, **terms)  # type: ignore[arg-type]


async def upload(store: Store, data: bytes) -> tuple[CompleteBlob, ContentRecord]:
    complete = await blobs_of(store, AT_ONCE).whole(SESSION.tenant, data)
    return complete, ContentRecord(complete.key, complete.size, complete.sha256)


async def resource_of(store: Store, name: str, owner: ResourceOwner = OWNER) -> ResourceRecord | None:
    key = resource_key(owner, name)
    document = (await store.load_documents((key,))).get(key)
    return None if document is None else resource_in(document)


async def names_of(store: Store, owner: ResourceOwner = OWNER, **which: object) -> list[str]:
    found = await store.read_documents(resource_range(owner, limit=100, **which))  # type: ignore[arg-type]
    return [resource_in(document).key.name for document in found]


def deletion(record: ResourceRecord, *, owner: ResourceOwner = OWNER, **terms: object) -> DeleteResource:
    return DeleteResource(
        owner,
        record.key.name,
        record.number,
        REMEMBERED,
        collection=record.collection,
        **terms,  # type: ignore[arg-type]
    )


async def made(store: Store, name: str, state: JsonObject | None = None) -> ResourceRecord:
    await store.commit((putting(name, state or {}),))
    record = await resource_of(store, name)
    assert record is not None
    return record


async def check_resource_is_kept_as_written(harness: StoreHarness) -> None:
    """State, content, media type, times: what was written in one commit is of one version, and read as such."""
    store = await harness.open()
    await store.commit((new_session(),))
    state: JsonObject = {"text": "ü\u0000\U0001f600", "n": 1.0, "deep": [{"a": None}]}
    complete, brought = await upload(store, b"content")
    first = await store.commit((complete, putting("files/ü", state, brought)))
    record = await resource_of(store, "files/ü")
    assert record is not None
    assert (record.version, record.exists, record.state, record.content) == (1, True, state, brought)
    assert (record.media_type, record.create_time, record.update_time) == (
        "text/plain",
        first.time,
        first.time,
    )
    assert first.results[1].document is not None
    assert resource_in(first.results[1].document) == record
    second = await store.commit((putting("files/ü", {"n": 2}, brought),))
    again = await resource_of(store, "files/ü")
    assert again is not None
    assert (again.version, again.state, again.content) == (2, {"n": 2}, brought)
    assert (again.incarnation, again.create_time) == (record.incarnation, first.time)
    assert again.update_time == second.time
    with refused(BlobUnavailable):  # or it would go with the one and be missing in the other
        await store.commit((putting("files/copy", {}, brought),))
    assert await content(blobs_of(store), brought.blob) == b"content"


async def check_resource_that_is_not_changed_gets_no_version(harness: StoreHarness) -> None:
    """A change that makes nothing makes no version, no event, and no record of a user."""
    store = await harness.open()
    owner = ResourceOwner(USER, new_log_id())
    nothing = ChangeResource(owner, "a", lambda _: NO_CHANGE, REMEMBERED, founds=())
    result = await store.commit((nothing,))
    assert (result.results[0].changed, result.results[0].version) == (False, 0)
    assert not (await state_of(store, USER)).exists
    assert await names_of(store, owner) == []


async def check_resource_preconditions(harness: StoreHarness) -> None:
    """Versions, existence and incarnations are judged by the newest record; what is refused leaves nothing."""
    store = await harness.open()
    await store.commit((new_session(),))
    with refused(VersionMismatchError, expected="1", current=0):
        await store.commit((putting("a", {}, precondition=AtVersion(1)),))
    await store.commit((putting("a", {"n": 1}, precondition=Exists(False)),))
    with refused(ResourceAlreadyExistsError, name="a"):
        await store.commit((putting("a", {"n": 2}, precondition=Exists(False)),))
    first = await resource_of(store, "a")
    assert first is not None
    await store.commit((putting("a", {"n": 2}, precondition=AtVersion(1, first.incarnation)),))
    for terms in ({"incarnation": "other"}, {"precondition": Exists(True, "other")}):
        with refused(ResourceDeletedError, name="a"):
            await store.commit((putting("a", {"n": 3}, **terms),))
    with refused(VersionMismatchError, current=2):
        await store.commit((deletion(first, precondition=AtVersion(1)),))
    last = await resource_of(store, "a")
    assert last is not None
    assert (last.version, last.state) == (2, {"n": 2})


async def check_resource_versions_go_on_over_deletes(harness: StoreHarness) -> None:
    """Deleting is a change too; what is made anew goes on from it, and a write that means the old one is refused."""
    store = await harness.open()
    await store.commit((new_session(),))
    old = await made(store, "a", {"n": 1})
    gone = await store.commit((deletion(old),))
    assert (gone.results[0].version, gone.results[0].changed) == (2, True)
    assert await resource_of(store, "a") is None
    assert counts_in((await store.load_documents((counts_key(OWNER),)))[counts_key(OWNER)]).total == 0
    again = await store.commit((replace(deletion(old), number=0),))
    assert not again.results[0].changed
    with refused(ResourceDeletedError):
        await store.commit((putting("a", {}, incarnation=old.incarnation),))
    new = await made(store, "a", {"n": 2})
    assert new.version == 3
    assert new.incarnation != old.incarnation
    with refused(ResourceMoved):
        await store.commit((deletion(old),))
    with refused(ResourceDeletedError):
        await store.commit((deletion(new, incarnation=old.incarnation),))


async def check_first_resource_makes_its_owner(harness: StoreHarness) -> None:
    """The first resource of a user makes the record, once, whoever else does so; then it belongs to that."""
    one, other = await harness.open(), await harness.open()
    owners = [ResourceOwner(USER, f"incarnation-{number}") for number in range(8)]
    writes = [putting("a", {"n": n}, owner=owner, founds=(("chat", 2),)) for n, owner in enumerate(owners)]
    done = await settled(*((one, other)[n % 2].commit((write,)) for n, write in enumerate(writes)))
    [winner] = [n for n, result in enumerate(done) if not isinstance(result, Exception)]
    assert {type(result) for result in done if isinstance(result, Exception)} == {ResourceMoved}
    state = await state_of(one, USER)
    assert (state.version, state.state, state.incarnation) == (1, {}, owners[winner].incarnation)
    assert state.generations == (("chat", 2),)
    record = await resource_of(other, "a", owners[winner])
    assert record is not None
    assert record.state == {"n": winner}
    await one.commit((putting("b", {}, owner=owners[winner]), increment(USER)))
    assert (await state_of(one, USER)).version == 2
    anew = replace(increment(user_scope("grace")), new_incarnation="new")
    theirs = ResourceOwner(user_scope("grace"), "new")
    await one.commit((anew, putting("a", {}, owner=theirs, founds=())))
    assert (await state_of(one, theirs.scope)).version == 1
    assert await names_of(one, theirs) == ["a"]
    await one.commit((DeleteState(USER),))
    again = putting("a", {}, owner=ResourceOwner(USER, "anew"), founds=(), absent_at=1)
    with refused(ScopeUnavailableError, scope="user"):
        await other.commit((again,))
    assert not (await state_of(other, USER)).exists
    await other.commit((replace(again, absent_at=2),))
    assert (await state_of(one, USER)).version == 3


async def check_resources_need_their_owner(harness: StoreHarness) -> None:
    """Nothing is written for a session or user that is gone, or was made anew; what is made anew begins without."""
    store = await harness.open()
    with refused(SessionNotFoundError):
        await store.commit((putting("a", {}),))
    await store.commit((new_session(), increment(USER)))
    with refused(SessionChanged):
        await store.commit((putting("a", {}, owner=OWNER._replace(incarnation="another")),))
    owner = ResourceOwner(USER, (await state_of(store, USER)).incarnation)
    await store.commit((putting("a", {}), putting("a", {}, owner=owner)))
    await store.commit((DeleteSession(SESSION, OWNER.incarnation), DeleteState(USER)))
    with refused(SessionNotFoundError):
        await store.commit((putting("b", {}),))
    with refused(ResourceMoved):
        await store.commit((putting("b", {}, owner=owner),))
    noted = {orphaned_owner(one.key) for one in await store.read_documents(orphaned_owners(10))}
    assert noted == {OWNER, owner}
    await store.commit((increment(USER),))
    anew = ResourceOwner(USER, (await state_of(store, USER)).incarnation)
    assert await names_of(store, anew) == []


async def check_sessions_without_resources_leave_no_note(harness: StoreHarness) -> None:
    """Deleting a session that never had a resource leaves nothing to look after."""
    store = await harness.open()
    await store.commit((new_session(),))
    await store.commit((DeleteSession(SESSION, OWNER.incarnation),))
    assert list(await store.read_documents(orphaned_owners(10))) == []


async def check_resources_are_listed_by_beginning(harness: StoreHarness) -> None:
    """By name, from beyond any name, those that begin with a text: of one owner and no other."""
    store = await harness.open()
    other = new_session("session-10")
    await store.commit((new_session(), other))
    names = ["a", "files", "files/", "files/a", "files/a/b", "files/b", "files0", "fileſ", "z\U0001f600"]
    for name in reversed(names):
        await made(store, name)
    await store.commit((putting("files/c", {}, owner=ResourceOwner(session_scope(other.key), other.log_id)),))
    assert await names_of(store) == names
    for prefix in ("", "f", "files/", "files/a", "z", "y", "fileſ"):
        inside = [name for name in names if name.startswith(prefix)]
        assert await names_of(store, prefix=prefix) == inside
        for after in names:
            assert await names_of(store, prefix=prefix, after=after) == [n for n in inside if n > after]


async def check_resource_events_are_in_the_log(harness: StoreHarness) -> None:
    """The events of a change are in the log of its request, else in that of its session, in the same commit."""
    store = await harness.open()
    scene = await open_scene(store)

    def told(name: str, **terms: object) -> ChangeResource:
        def change(record: ResourceRecord) -> ResourceChanged | NoChange:
            return ResourceChanged({}, b"{}", None, name, (note(name),))

        return ChangeResource(OWNER, "a", change, REMEMBERED, **terms)  # type: ignore[arg-type]

    await scene.commit(told("run", request=scene.request))
    await store.commit((told("session"),))
    record = await resource_of(store, "a")
    assert record is not None
    await store.commit((deletion(record, gone=lambda _: (note("gone"),)),))
    assert [event.event for event in await events_of(store, scene.request)] == [note("run")]
    assert [event.event for event in await events_of(store, SESSION)] == [
        note("run"),
        note("session"),
        note("gone"),
    ]


async def check_resource_changes_wake_watchers(harness: StoreHarness) -> None:
    """Whoever watches the documents of an owner is woken by a change of a resource, made by whatever process."""
    one, other = await harness.open(), await harness.open()
    await one.commit((new_session(), increment(USER)))
    owner = ResourceOwner(USER, (await state_of(one, USER)).incarnation)
    topics: Sequence[tuple[ScopeKey, ResourceOwner, TopicKind]] = (
        (OWNER.scope, OWNER, TopicKind.SESSION_DOCUMENTS),
        (USER, owner, TopicKind.USER_DOCUMENTS),
    )
    for scope, whose, kind in topics:
        with other.watch((Topic(kind, scope.tenant, scope.id),)) as watch:
            await one.commit((putting("a", {}, owner=whose),))
            await woken(other, watch)
