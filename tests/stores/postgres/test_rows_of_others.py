"""Rows that another process changes while a group waits for their locks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from flowstate_server.model.documents import STORE_OWNER, DocumentKey, DocumentRange, flow_owner
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import SessionKey, session_scope
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes import AppendEvents, AtVersion, RenewLease, RequireRun
from flowstate_server.stores.postgres import PostgresStore, loading
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    finish,
    increment,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.ranges import KIND, MOST, Keep, kinds
from flowstate_server.testing.waiting import soon, until
from tests.stores.postgres.harness import PostgresHarness
from tests.support.postgres_server import connection, fetch

ROUNDS = 60


async def test_none_of_several_is_lost() -> None:
    """Postgres looks once more at rows that were changed meanwhile; each of them must be found again."""
    async with PostgresHarness() as harness:
        one, other = await harness.open(), await harness.open()
        await one.commit((RenewLease(PROCESS, LEASE, start=True),))
        for number in range(ROUNDS):
            sessions = [SessionKey(NO_TENANT, f"{number}-a"), SessionKey(NO_TENANT, f"{number}-b")]
            for session in sessions:
                await one.commit((new_session(session.session_id),))
            await asyncio.gather(
                _both(one, sessions),
                _both(other, sessions),
                _run(one, sessions[1]),
                _run(other, sessions[0]),
                _both(other, sessions[::-1]),
            )
            for session in sessions:
                assert (await state_of(one, session_scope(session))).state == {"n": 4}


async def _both(store: Store, sessions: Sequence[SessionKey]) -> None:
    await store.commit(tuple(increment(session_scope(session)) for session in sessions))


async def _run(store: Store, session: SessionKey) -> None:
    create = new_request(session, f"{session.session_id}-run")
    await store.commit((create,))
    await store.commit(
        (RequireRun(create.key, PROCESS), increment(session_scope(session), request=create.key))
    )
    await store.commit((RequireRun(create.key, PROCESS), finish(create.key, create.scopes)))


async def test_a_state_that_appears_meanwhile_is_seen() -> None:
    """A run that ends behind another's event knows of the state that was first written with it."""
    async with PostgresHarness() as harness:
        one, other = await harness.open(), await harness.open()
        for number in range(ROUNDS):
            name = f"s{number}"
            writing, ending = (
                await open_scene(one, name, f"a{number}"),
                await open_scene(other, name, f"b{number}"),
            )
            written = put(session_scope(writing.session), {"n": 1})
            event = AppendEvents(writing.session, (note("written"),), writing.request)
            await asyncio.gather(writing.commit(written, event), ending.finish())
            page = await one.read_events(writing.session, after=0, limit=9, max_bytes=1 << 20)
            assert page is not None
            log = page.events
            versions = [
                decode_json(record.event.payload)["scope_versions"]["session"]  # type: ignore[index, call-overload]
                for record in log
                if record.event.type.terminal
            ]
            assert versions == [0 if log[0].event.type.terminal else 1]


DOCUMENT = DocumentKey(STORE_OWNER, "kind", ("name",))
LOCKING = "SELECT FROM flowstate.sessions FOR UPDATE"
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def dispatched(store: Store, session: SessionKey) -> None:
    load = replace(new_request(session, "run"), load_documents=(DOCUMENT,))
    [created] = (await store.commit((load,))).results
    assert [document.key for document in created.documents] == [DOCUMENT]


async def deleted(store: Store, session: SessionKey) -> None:
    _, deletion = (await store.commit((AppendEvents(session, ()), DeleteDocument(DOCUMENT)))).results
    assert deletion.changed


async def required(store: Store, session: SessionKey) -> None:
    await store.commit((AppendEvents(session, ()), PutDocument(DOCUMENT, b"2", AtVersion(1))))


@pytest.mark.parametrize("use", [dispatched, deleted, required], ids=lambda use: use.__name__)
async def test_a_document_that_appears_meanwhile_is_seen(
    use: Callable[[Store, SessionKey], Awaitable[None]], store: PostgresStore, other: PostgresStore, dsn: str
) -> None:
    """Whether the group writes, has nothing to write, or would refuse for its absence."""
    scene = await open_scene(store)
    session = scene.session
    async with connection(dsn) as raw, raw.transaction():
        await raw.execute(LOCKING)
        using = asyncio.ensure_future(use(store, session))
        await until(lambda: _some(dsn, WAITING))
        await other.commit((PutDocument(DOCUMENT, b"1"),))
    await soon(using)


async def _some(dsn: str, query: str) -> bool:
    return bool(await fetch(dsn, query))


async def test_a_range_has_what_was_committed_while_the_locks_were_awaited(
    store: PostgresStore, other: PostgresStore, dsn: str
) -> None:
    with kinds():
        owner = flow_owner("chat")
        for _ in range(MOST - 1):
            await store.commit((Keep(owner, b"1"),))
        async with connection(dsn) as raw:
            begun = raw.transaction()
            await begun.start()
            await raw.execute("SELECT FROM flowstate.documents FOR UPDATE")
            keeping = [asyncio.ensure_future(one.commit((Keep(owner, b"2"),))) for one in (store, other)]
            await until(lambda: _some(dsn, f"{WAITING} OFFSET 1"))
            await begun.rollback()
            await soon(asyncio.gather(*keeping))
        kept = await store.read_documents(DocumentRange(owner, KIND, limit=99))
        assert [document.text for document in kept] == [b"1"] * (MOST - 2) + [b"2", b"2"]


async def test_documents_over_the_limit_are_left_to_the_next_group(store: PostgresStore) -> None:
    """Each is read, on its own, once; the batches all get theirs."""
    keys = [DocumentKey(STORE_OWNER, "kind", (str(number),)) for number in range(5)]
    texts = [encode_json("x" * (loading.LARGE + number * 600_000)) for number in range(5)]
    for key, text in zip(keys, texts, strict=True):
        await store.commit((PutDocument(key, text),))
    answers = await asyncio.gather(
        *(store.commit((PutDocument(key, text),)) for key, text in zip(keys, texts, strict=True))
    )
    assert [result.results[0].changed for result in answers] == [False] * 5
    again = await asyncio.gather(*(store.commit((PutDocument(key, b"1", AtVersion(1)),)) for key in keys))
    assert {result.results[0].version for result in again} == {2}
