"""Journals when their session goes, or a document of theirs is damaged."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.engine.calls.journals import (
    JournalAppend,
    JournalPage,
    JournalQuery,
    NewNote,
)
from flowstate_server.engine.calls.sessions import NewSession
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.records.journals import newest_entries
from flowstate_server.errors import PageTokenInvalidError, SessionNotFoundError, StoreUnavailableError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentRange, encode_key
from flowstate_server.model.identity import NO_TENANT, Principal
from flowstate_server.model.journal import entry_key
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.document_writes import AppendJournal, PutDocument
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    SessionChanged,
)
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.testing.store_contract.builders import take_over
from tests.support.held_commits import replace_commit

ADA, EVE = Principal(user="ada"), Principal(user="eve")
KEY = SessionKey(NO_TENANT, "s")


@handler
async def go(value: None, ctx: Context) -> None: ...


FLOWS = FlowRegistry([define_flow("test", actions={"go": action(block=go)})])


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(MemoryStore(), FLOWS)
    await engine.open()
    await engine.sessions.create(ADA, NewSession("test", "s"), "", "")
    yield engine
    await engine.close()


async def append(engine: Engine, *texts: str, principal: Principal = ADA) -> None:
    notes = [NewNote(text) for text in texts]
    await engine.journals.append(principal, JournalAppend("s", notes))


async def read(engine: Engine, principal: Principal = ADA, token: str = "", size: int = 0) -> JournalPage:
    return await engine.journals.list(principal, JournalQuery("s", page_size=size, page_token=token))


async def texts_of(engine: Engine, principal: Principal = ADA) -> list[str]:
    return [entry.note.text for entry in (await read(engine, principal)).entries]


async def delete(engine: Engine) -> None:
    """As another server does: this one's bindings still know the session."""
    record = await engine.store.get_session(KEY)
    assert record is not None
    await take_over(engine.store, SESSIONS, [replace(record, delete_time=Micros(1))])


async def make_anew(engine: Engine, principal: Principal) -> None:
    """As another server does, too."""
    known = engine.sessions._bindings
    binding = known._remembered.get(KEY)
    await delete(engine)
    await engine.sessions.create(principal, NewSession("test", "s"), "", "")
    if binding is not None:
        known.remember(binding)


def before_reads(engine: Engine, act: Callable[[], Awaitable[None]]) -> None:
    """``act`` once, between the read of the session's binding and that of its documents, behind which it is checked."""
    store, pending = engine.store, [act]
    read_documents = store.read_documents

    async def reading(which: DocumentRange, *, max_bytes: int = 1 << 20) -> Sequence[Document]:
        found = await read_documents(which, max_bytes=max_bytes)
        if pending:
            await pending.pop()()
        return found

    store.read_documents = reading  # type: ignore[method-assign]


async def test_a_deleted_session_has_no_journal(engine: Engine) -> None:
    await append(engine, "a")
    await delete(engine)
    for call in (append(engine, "b"), read(engine)):
        with pytest.raises(SessionNotFoundError):
            await call
    await make_anew(engine, ADA)
    assert await texts_of(engine) == []


async def test_a_session_made_anew_begins_an_empty_journal(engine: Engine) -> None:
    await append(engine, "old")
    await make_anew(engine, ADA)
    await append(engine, "new")
    assert await texts_of(engine) == ["new"]
    await make_anew(engine, ADA)
    assert await texts_of(engine) == []


async def test_a_session_made_anew_by_somebody_else_shows_nothing(engine: Engine) -> None:
    await append(engine, "ada's")
    await make_anew(engine, EVE)
    for call in (append(engine, "b"), read(engine)):
        with pytest.raises(SessionNotFoundError):
            await call
    await append(engine, "eve's", principal=EVE)
    assert await texts_of(engine, EVE) == ["eve's"]


async def test_a_session_that_goes_while_its_journal_is_read(engine: Engine) -> None:
    await append(engine, "old")
    before_reads(engine, lambda: make_anew(engine, ADA))
    assert await texts_of(engine) == []
    await append(engine, "new")
    before_reads(engine, lambda: delete(engine))
    with pytest.raises(SessionNotFoundError):
        await texts_of(engine)


async def test_a_token_ends_with_its_session(engine: Engine) -> None:
    await append(engine, "a", "b")
    token = (await read(engine, size=1)).next_page_token
    assert token
    await make_anew(engine, ADA)
    await append(engine, "a", "b")
    with pytest.raises(PageTokenInvalidError):
        await read(engine, token=token)


async def test_a_session_that_is_always_another_is_given_up(engine: Engine) -> None:
    attempts = 0
    commit = engine.store.commit

    async def changed(batch: Batch) -> CommitResult:
        nonlocal attempts
        if not isinstance(batch[-1], AppendJournal):
            return await commit(batch)
        attempts += 1
        raise SessionChanged

    replace_commit(engine.store, changed)
    with pytest.raises(StoreUnavailableError):
        await append(engine, "a")
    assert attempts == 5


async def test_a_damaged_entry_takes_no_other_with_it(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await append(engine, "a", "secret", "c")
    record = await engine.store.get_session(KEY)
    assert record is not None
    await engine.store.commit((PutDocument(entry_key(KEY, record.log_id, 2), b'["secret"]'),))
    assert await texts_of(engine) == ["a", "c"]
    token = (await read(engine, size=2)).next_page_token
    assert [entry.note.text for entry in (await read(engine, token=token)).entries] == ["c"]
    [*_, told] = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert "can't be understood" in told.getMessage()
    assert "secret" not in told.getMessage()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_keys_that_are_damaged_end_no_page_early(tmp_path: Path, newest_first: bool) -> None:
    """Such entries lie elsewhere, here between 15 and 16, where they fill some pages."""
    path = tmp_path / "journal.db"
    engine = Engine(SqliteStore(path), FLOWS)
    await engine.open()
    try:
        await engine.sessions.create(ADA, NewSession("test", "s"), "", "")
        await append(engine, *map(str, range(1, 31)))
        record = await engine.store.get_session(KEY)
        assert record is not None
        with closing(sqlite3.connect(path)) as database:
            for number in range(2, 8):
                key = encode_key(entry_key(KEY, record.log_id, number))
                damaged = key[:-2] + bytes((0x80 + number, 0))
                changed = database.execute("UPDATE documents SET key = ? WHERE key = ?", (damaged, key))
                assert changed.rowcount == 1
            database.commit()
        expected = [str(number) for number in range(1, 31) if not 2 <= number < 8]
        if newest_first:
            expected.reverse()
        for size in (1, 2, 3, 5, 50):
            found: list[str] = []
            token = ""
            while True:
                query = JournalQuery("s", page_size=size, page_token=token, newest_first=newest_first)
                page = await engine.journals.list(ADA, query)
                found += [entry.note.text for entry in page.entries]
                if not (token := page.next_page_token):
                    break
            assert found == expected
        newest = await newest_entries(engine.store, KEY, record.log_id, 16)
        assert [entry.note.text for entry in newest] == sorted(expected, key=int)[-16:]
    finally:
        await engine.close()
