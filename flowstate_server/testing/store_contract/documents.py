"""Documents: owners, versions, tombstones, ranges, expiry."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import (
    RequestNotFoundError,
    RequestTerminalError,
    ScopeUnavailableError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import (
    STORE_OWNER,
    Document,
    DocumentKey,
    DocumentRange,
    Owner,
    flow_owner,
    ordered,
    request_owner,
    scope_owner,
    session_owner,
)
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.scopes import RequestKey, SessionKey, org_scope, user_scope
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import AtVersion, DeleteState, Exists, SessionChanged
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    increment,
    new_request,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

KEY = DocumentKey(STORE_OWNER, "kind", ("name",))


async def document_of(store: Store, key: DocumentKey = KEY) -> Document | None:
    return (await store.load_documents((key,))).get(key)


async def names_of(store: Store, which: DocumentRange) -> list[str]:
    return ["/".join(document.key.name) for document in await store.read_documents(which)]


async def check_document_is_kept_as_put(harness: StoreHarness) -> None:
    """A document comes back to the byte, with a version, an incarnation and the times of its commits."""
    store = await harness.open()
    text = '{"b":1.0,"a":[1,null,"ü\\u0000"]}'.encode()
    first = await store.commit((PutDocument(KEY, text),))
    second = await store.commit((PutDocument(KEY, b"2"),))
    document = await document_of(store)
    assert document is not None
    assert (document.key, document.text, document.version, document.present) == (KEY, b"2", 2, True)
    assert (document.create_time, document.update_time) == (first.time, second.time)
    assert (document.expire_time, bool(document.incarnation)) == (0, True)
    kept = first.results[0].document
    assert kept is not None
    assert (kept.text, kept.version, kept.incarnation) == (text, 1, document.incarnation)
    assert second.results[0].version == 2


async def check_equal_text_is_no_change(harness: StoreHarness) -> None:
    """Putting what is there changes nothing; deleting what is not there neither."""
    store = await harness.open()
    await store.commit((PutDocument(KEY, b"1"),))
    again = await store.commit((PutDocument(KEY, b"1"),))
    assert (again.results[0].changed, again.results[0].version) == (False, 1)
    gone = await store.commit((DeleteDocument(replace_name("other")),))
    assert (gone.results[0].changed, gone.results[0].version) == (False, 0)


def replace_name(*name: str) -> DocumentKey:
    return KEY._replace(name=name)


async def check_document_preconditions(harness: StoreHarness) -> None:
    """A version, existence or incarnation that does not hold refuses the batch with the current version."""
    store = await harness.open()
    with refused(VersionMismatchError, current=0):
        await store.commit((PutDocument(KEY, b"1", Exists(True)),))
    made = await store.commit((PutDocument(KEY, b"1", AtVersion(0)),))
    for wrong in (AtVersion(0), AtVersion(2), Exists(False)):
        with refused(VersionMismatchError, current=1):
            await store.commit((increment(user_scope("ada")), PutDocument(KEY, b"2", wrong)))
        with refused(VersionMismatchError, current=1):
            await store.commit((DeleteDocument(KEY, wrong),))
    document = made.results[0].document
    assert document is not None
    with refused(VersionMismatchError, current=1):
        await store.commit((PutDocument(KEY, b"2", incarnation="another"),))
    await store.commit((PutDocument(KEY, b"2", AtVersion(1), document.incarnation),))
    assert not (await state_of(store, user_scope("ada"))).exists


async def check_versions_go_on_over_tombstones(harness: StoreHarness) -> None:
    """A deleted document is not there; one made anew goes on from its tombstone, as another incarnation."""
    store = await harness.open()
    for _ in range(2):
        await store.commit((PutDocument(KEY, b"1"), PutDocument(KEY, b"2")))
        before = await document_of(store)
        assert before is not None
        await store.commit((DeleteDocument(KEY, remembered=Micros(60 * SECOND)),))
        assert await document_of(store) is None
        assert list(await store.read_documents(DocumentRange(STORE_OWNER, "kind", 10))) == []
        with refused(VersionMismatchError, current=before.version):
            await store.commit((PutDocument(KEY, b"3", Exists(True)),))
        await store.commit((PutDocument(KEY, b"3", AtVersion(before.version)),))
        after = await document_of(store)
        assert after is not None
        assert (after.version, after.incarnation != before.incarnation) == (before.version + 1, True)
    await store.commit((DeleteDocument(KEY),))
    await store.commit((PutDocument(KEY, b"4", AtVersion(0)),))
    again = await document_of(store)
    assert again is not None
    assert again.version == 1


async def check_documents_of_one_batch_see_each_other(harness: StoreHarness) -> None:
    """Writes of one batch, and of one group, go on from each other; a refused batch leaves no document."""
    store = await harness.open()
    await store.commit((PutDocument(KEY, b"1"), DeleteDocument(KEY), PutDocument(KEY, b"2")))
    puts = [store.commit((PutDocument(replace_name(str(n)), b"1", Exists(False)),)) for n in (1, 1, 2)]
    answers = await settled(*puts)
    assert [isinstance(answer, VersionMismatchError) for answer in answers] == [False, True, False]
    with refused(VersionMismatchError):
        await store.commit((PutDocument(replace_name("3"), b"1"), PutDocument(KEY, b"2", AtVersion(9))))
    assert await names_of(store, DocumentRange(STORE_OWNER, "kind", 10)) == ["1", "2", "name"]


OWNERS = (
    STORE_OWNER,
    flow_owner("chat"),
    flow_owner("Chat"),
    scope_owner(user_scope("ada")),
    scope_owner(user_scope("ada", isolated_flow="chat")),
    scope_owner(org_scope("ada")),
    session_owner(SessionKey(NO_TENANT, "session-1"), "log-session-1"),
    session_owner(SessionKey(Tenant("tenant"), "session-1"), "log-session-1"),
    request_owner(RequestKey(NO_TENANT, "request-1")),
    request_owner(RequestKey(Tenant("tenant"), "request-1")),
)


async def check_owners_and_kinds_are_apart(harness: StoreHarness) -> None:
    """Documents of one name under different owners, tenants and kinds are different ones."""
    store = await harness.open()
    await open_scene(store)
    await open_scene(store, tenant="tenant")
    keys = [DocumentKey(owner, kind, ("n",)) for owner in OWNERS for kind in ("kind", "Kind", "kind2")]
    for number, key in enumerate(keys):
        await store.commit((PutDocument(key, b"%d" % number, AtVersion(0)),))
    found = await store.load_documents(keys)
    assert [found[key].text for key in keys] == [b"%d" % number for number in range(len(keys))]
    for number, key in enumerate(keys):
        [one] = await store.read_documents(DocumentRange(key.owner, key.kind, 10))
        assert (one.key, one.text) == (key, b"%d" % number)


async def check_documents_need_their_owner(harness: StoreHarness) -> None:
    """A document of a session, request or incarnation of a user that is not there, or has ended, is refused."""
    store = await harness.open()
    session = SessionKey(NO_TENANT, "session-1")

    async def write(owner: Owner) -> None:
        await store.commit((PutDocument(DocumentKey(owner, "kind", ("n",)), b"1"),))

    with refused(SessionNotFoundError):
        await write(session_owner(session, "log-session-1"))
    with refused(RequestNotFoundError):
        await write(request_owner(RequestKey(NO_TENANT, "request-1")))
    scene = await open_scene(store)
    with refused(SessionChanged):
        await write(session_owner(session, "another"))
    await write(session_owner(session, "log-session-1"))
    await write(request_owner(scene.request))
    await scene.finish()
    with refused(RequestTerminalError):
        await write(request_owner(scene.request))
    ada = user_scope("ada")
    with refused(ScopeUnavailableError):
        await write(scope_owner(ada, "never"))
    await store.commit((put(ada, {"n": 1}),))
    incarnation = (await state_of(store, ada)).incarnation
    await write(scope_owner(ada, incarnation))
    await store.commit((DeleteState(ada),))
    with refused(ScopeUnavailableError):
        await write(scope_owner(ada, incarnation))


NAMES = (
    ("a",),
    ("a", ""),
    ("a", "b"),
    ("a", "b", "c"),
    ("a\0",),
    ("a\x01",),
    ("ab",),
    ("b",),
    ("é",),
    ("\U0001d11e",),
)
"""By code point, part by part."""


async def check_ranges_are_in_the_order_of_names(harness: StoreHarness) -> None:
    """A range has the documents of a prefix, by name, first or last ones, from beyond any name."""
    store = await harness.open()
    for name in reversed(NAMES):
        await store.commit((PutDocument(replace_name(*name), b"1"),))
    whole = DocumentRange(STORE_OWNER, "kind", 100)
    names = [document.key.name for document in await store.read_documents(whole)]
    assert names == list(NAMES)
    down = replace(whole, descending=True)
    assert [document.key.name for document in await store.read_documents(down)] == names[::-1]
    for prefix in ((), ("a",), ("a", "b"), ("b",), ("c",)):
        inside = [name for name in NAMES if name[: len(prefix)] == prefix]
        for limit in (1, 2, 100):
            for beyond in (None, *NAMES, ("a", "a"), ("a", "b", "")):
                up = DocumentRange(STORE_OWNER, "kind", limit, prefix, beyond=beyond)
                wanted = [name for name in inside if beyond is None or name > beyond][:limit]
                assert [document.key.name for document in await store.read_documents(up)] == wanted, up
                down = replace(up, descending=True)
                wanted = [name for name in reversed(inside) if beyond is None or name < beyond][:limit]
                assert [document.key.name for document in await store.read_documents(down)] == wanted, down


async def check_ranges_are_bounded_in_bytes(harness: StoreHarness) -> None:
    """A page of documents ends before its texts exceed the bytes asked for, but has at least one."""
    store = await harness.open()
    for number in range(5):
        await store.commit((PutDocument(replace_name(ordered(number)), b'"%s"' % (b"x" * 98)),))
    which = DocumentRange(STORE_OWNER, "kind", 10)
    for max_bytes, count in ((1, 1), (100, 1), (250, 2), (500, 5), (10_000, 5)):
        assert len(await store.read_documents(which, max_bytes=max_bytes)) == count


async def check_expired_documents_are_not_there(harness: StoreHarness) -> None:
    """A document whose time is over is not read, not counted and no obstacle; the sweep takes it and nothing else."""
    store = await harness.open()
    for number in range(5):
        await store.commit((PutDocument(replace_name(f"brief-{number}"), b"1", lifetime=Micros(1)),))
    await store.commit(
        (PutDocument(KEY, b"1"), PutDocument(replace_name("long"), b"1", lifetime=Micros(60 * SECOND)))
    )
    await store.commit((DeleteDocument(replace_name("long"), remembered=Micros(60 * SECOND)),))
    await store.commit((PutDocument(replace_name("long"), b"1", lifetime=Micros(60 * SECOND)),))
    assert await document_of(store, replace_name("brief-0")) is None
    assert await names_of(store, DocumentRange(STORE_OWNER, "kind", 2)) == ["long", "name"]
    await store.commit((PutDocument(replace_name("brief-0"), b"2", Exists(False)),))
    assert [await store.sweep_documents(limit=3) for _ in range(3)] == [3, 1, 0]
    assert await names_of(store, DocumentRange(STORE_OWNER, "kind", 10)) == ["brief-0", "long", "name"]


async def check_documents_are_loaded_with_a_dispatch(harness: StoreHarness) -> None:
    """A request that is created gets the documents that it asks for, as its commit sees them."""
    store = await harness.open()
    scene = await open_scene(store)
    there, absent = replace_name("there"), replace_name("absent")
    create = replace(new_request(scene.session, "second"), load_documents=(absent, there))
    result = await store.commit((PutDocument(there, b"1"), create))
    [document] = result.results[1].documents
    assert (document.key, document.text, document.version) == (there, b"1", 1)


async def check_documents_are_read_with_a_projection(harness: StoreHarness) -> None:
    """A projection has the documents asked for that are there."""
    store = await harness.open()
    scene = await open_scene(store)
    owner = session_owner(scene.session, "log-session-1")
    there, gone = DocumentKey(owner, "kind", ("there",)), DocumentKey(owner, "kind", ("gone",))
    await store.commit((PutDocument(there, b"1"), PutDocument(gone, b"1", lifetime=Micros(1))))
    projection = await store.read_projection(scene.session, (), (there, gone, KEY))
    assert projection is not None
    assert {key: document.text for key, document in projection.documents.items()} == {there: b"1"}


async def check_documents_wake_their_owner(harness: StoreHarness) -> None:
    """A changed document wakes whoever watches the documents of its owner."""
    store = await harness.open()
    scene = await open_scene(store)
    for owner, topic in (
        (session_owner(scene.session, "log-session-1"), Topic(TopicKind.SESSION_DOCUMENTS, *scene.session)),
        (scope_owner(user_scope("ada")), Topic(TopicKind.USER_DOCUMENTS, NO_TENANT, "ada")),
        (scope_owner(org_scope("acme")), Topic(TopicKind.ORG_DOCUMENTS, NO_TENANT, "acme")),
        (flow_owner("chat"), Topic(TopicKind.FLOW_DOCUMENTS, NO_TENANT, "chat")),
    ):
        key = DocumentKey(owner, "kind", ("n",))
        with store.watch((topic,)) as watch:
            for write in (PutDocument(key, b"1"), DeleteDocument(key)):
                await store.commit((write,))
                async with asyncio.timeout(store.max_wake_delay + 5):
                    await watch.wait()


async def check_racing_creators_of_a_document_agree(harness: StoreHarness) -> None:
    """Of many that create one document at once through two handles one succeeds, and no write of others is lost."""
    one, other = await harness.open(), await harness.open()
    for number in range(5):
        key = replace_name(str(number))
        creators = [store.commit((PutDocument(key, b"1", Exists(False)),)) for store in (one, other) * 3]
        answers = await settled(*creators)
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1
        assert all(
            isinstance(answer, VersionMismatchError) for answer in answers if isinstance(answer, Exception)
        )
    key = replace_name("counted")
    puts = [store.commit((PutDocument(key, b"%d" % n),)) for n in range(20) for store in (one, other)]
    await settled(*puts)
    document = await document_of(one, key)
    assert document is not None
    assert document.version >= 20
