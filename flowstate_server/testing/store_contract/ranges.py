"""Ranges under the lock: a commit that reads documents it can't name, or the open requests of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import (
    STORE_OWNER,
    DocumentKey,
    DocumentRange,
    Owner,
    ordered,
    session_owner,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.commit.document_writes import need_owner, put, require_owner
from flowstate_server.stores.commit.meanings import MEANINGS, Meaning
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.tables import DOCUMENTS, SESSIONS, Needs
from flowstate_server.stores.contract.writes import Write, WriteResult
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    finish,
    new_request,
    new_session,
    note,
    open_scene,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

MOST = 5
KIND = "kept"


@frozen
class Keep(Write):
    """Keep a document, and of one owner only the newest ``MOST``: the oldest goes in the same commit.

    A counter document numbers them, and is what two writers meet at.
    """

    owner: Owner
    text: bytes

    @property
    def counter(self) -> DocumentKey:
        return DocumentKey(self.owner, "kept_counter", ())

    @property
    def oldest(self) -> DocumentRange:
        return DocumentRange(self.owner, KIND, limit=1)


def _need_keep(write: Keep, needs: Needs) -> None:
    needs.add(DOCUMENTS, write.counter)
    needs.ranges.add(write.oldest)
    need_owner(write.owner, needs)


def _keep(work: WorkingSet, write: Keep) -> WriteResult:
    require_owner(work, write.owner)
    counter = work.documents.find(write.counter)
    made, there = (0, 0) if counter is None else cast("tuple[int, int]", decode_json(counter.text))
    if there == MOST:
        [oldest] = work.documents.range(write.oldest)
        work.documents.remove(oldest.key)
        there -= 1
    put(work, write.counter, encode_json([made + 1, there + 1]))
    key = DocumentKey(write.owner, KIND, (ordered(made + 1),))
    return WriteResult(document=put(work, key, write.text))


@frozen
class StartUnlessBusy(Write):
    """Put a document that tells how many requests of the session are open."""

    session: SessionKey

    @property
    def key(self) -> DocumentKey:
        return DocumentKey(STORE_OWNER, "open", (self.session.session_id,))


def _need_open(write: StartUnlessBusy, needs: Needs) -> None:
    needs.add(SESSIONS, write.session)
    needs.add(DOCUMENTS, write.key)
    needs.open_requests.add(write.session)


def _count_open(work: WorkingSet, write: StartUnlessBusy) -> WriteResult:
    names = [head.key.request_id for head in work.open_requests(write.session)]
    return WriteResult(document=put(work, write.key, encode_json([*names])))


@contextmanager
def kinds() -> Iterator[None]:
    """The writes of this module, as those of any other kind."""
    MEANINGS[Keep] = Meaning(_need_keep, _keep)
    MEANINGS[StartUnlessBusy] = Meaning(_need_open, _count_open)
    try:
        yield
    finally:
        del MEANINGS[Keep], MEANINGS[StartUnlessBusy]


async def _kept(store: Store, owner: Owner) -> list[bytes]:
    found = await store.read_documents(DocumentRange(owner, KIND, limit=100))
    return [document.text for document in found]


async def check_oldest_of_a_range_goes_in_the_same_commit(harness: StoreHarness) -> None:
    """A limit on the count holds after every commit, one at a time, in one group, and beside documents of others."""
    store = await harness.open()
    with kinds():
        for number in range(8):
            await store.commit((Keep(STORE_OWNER, b"%d" % number),))
            assert len(await _kept(store, STORE_OWNER)) == min(number + 1, MOST)
        await asyncio.gather(*(store.commit((Keep(STORE_OWNER, b"%d" % n),)) for n in range(8, 40)))
    assert await _kept(store, STORE_OWNER) == [b"%d" % number for number in range(35, 40)]


async def check_ranges_of_two_handles_hold_their_limit(harness: StoreHarness) -> None:
    """Two handles that write one range at once never keep more than its limit, and lose nothing newer."""
    one, other = await harness.open(), await harness.open()
    with kinds():
        keeps = [store.commit((Keep(STORE_OWNER, b"%d" % n),)) for n in range(30) for store in (one, other)]
        await asyncio.gather(*keeps)
    for store in (one, other):
        found = await store.read_documents(DocumentRange(STORE_OWNER, KIND, limit=100))
        assert [document.key.name for document in found] == [(ordered(number),) for number in range(56, 61)]


async def check_range_of_a_session_ends_with_it(harness: StoreHarness) -> None:
    """A range of a session's documents is that of its present incarnation."""
    store = await harness.open()
    session = SessionKey(NO_TENANT, "session-1")
    await store.commit((new_session(),))
    owner = session_owner(session, "log-session-1")
    with kinds():
        for number in range(6):
            await store.commit((Keep(owner, b"%d" % number),))
    assert await _kept(store, owner) == [b"%d" % number for number in range(1, 6)]
    assert await _kept(store, session_owner(session, "another")) == []


async def check_range_sees_what_its_batch_and_group_did(harness: StoreHarness) -> None:
    """A range has what was put earlier in the same group, and lacks what was removed or has expired."""
    store = await harness.open()
    key = DocumentKey(STORE_OWNER, KIND, (ordered(0),))
    with kinds():
        await store.commit((PutDocument(key, b"expired", lifetime=Micros(1)),))
        await asyncio.gather(*(store.commit((Keep(STORE_OWNER, b"%d" % n),)) for n in range(7)))
    assert await _kept(store, STORE_OWNER) == [b"%d" % number for number in range(2, 7)]


async def check_open_requests_are_read_under_the_lock(harness: StoreHarness) -> None:
    """A commit sees every open request of a session, queued ones too, and what earlier batches of its group did."""
    store = await harness.open()
    scene = await open_scene(store, request_id="a")
    queued = replace(new_request(scene.session, "b", process=""), status=RequestStatus.QUEUED)
    await store.commit((queued,))
    write = StartUnlessBusy(scene.session)
    with kinds():
        assert await open_under_the_lock(store, write) == ["a", "b"]
        both = replace(new_request(scene.session, "c"))
        await asyncio.gather(
            store.commit((finish(scene.request, scene.scopes),)),
            store.commit((both,)),
            store.commit((write,)),
        )
        assert await _told(store, write) == ["b", "c"]
        elsewhere = await open_scene(store, "session-2", "d")
        assert await open_under_the_lock(store, write) == ["b", "c"]
        assert await open_under_the_lock(store, StartUnlessBusy(elsewhere.session)) == ["d"]


async def check_open_requests_come_oldest_first(harness: StoreHarness) -> None:
    """Under the lock and in a projection open requests come in the order in which they were made."""
    store = await harness.open()
    scene = await open_scene(store, request_id="m")
    for name in ("z", "a", "y", "b"):
        queued = replace(new_request(scene.session, name, process=""), status=RequestStatus.QUEUED)
        await store.commit((queued,))
    await scene.append(note())  # whose head is the newest row now
    ended = await open_scene(store, request_id="c")
    await ended.finish()
    with kinds():
        await store.commit((StartUnlessBusy(scene.session),))
    assert await _told(store, StartUnlessBusy(scene.session)) == ["m", "z", "a", "y", "b"]
    projection = await store.read_projection(scene.session, ())
    assert projection is not None
    assert [head.key.request_id for head in projection.active] == ["m", "z", "a", "y", "b"]


async def check_open_requests_of_two_handles(harness: StoreHarness) -> None:
    """What another handle has begun or ended is seen under the lock."""
    one, other = await harness.open(), await harness.open()
    scene: Scene = await open_scene(one, request_id="a")
    with kinds():
        for number in range(5):
            begun = await open_scene(other, request_id=f"other-{number}")
            assert await open_under_the_lock(one, StartUnlessBusy(scene.session)) == ["a", f"other-{number}"]
            await replace(begun, store=other).finish()
            assert await open_under_the_lock(one, StartUnlessBusy(scene.session)) == ["a"]


async def open_under_the_lock(store: Store, write: StartUnlessBusy) -> list[str]:
    await store.commit((write,))
    return await _told(store, write)


async def _told(store: Store, write: StartUnlessBusy) -> list[str]:
    document = (await store.load_documents((write.key,)))[write.key]
    names = decode_json(document.text)
    assert isinstance(names, list)
    return [str(name) for name in names]
