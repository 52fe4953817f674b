"""What is found in a store whose records do not fit each other."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.journal import Note
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores import sqlite
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.contract.writes import CreateSession
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.stores.transfer import check_store
from tests.support.filled_store import fill

BROKEN = {
    "its journal counts 3 entries, there are 2, the newest is number 3": "DELETE FROM documents WHERE"
    f" instr(key, X'{b'journal_entry'.hex()}00{b'0000000000000002'.hex()}')",
    "its journal counts 3 entries, there are 2, the newest is number 2": "DELETE FROM documents WHERE"
    f" instr(key, X'{b'journal_entry'.hex()}00{b'0000000000000003'.hex()}')",
    "its journal counts 2 entries, there are 3, the newest is number 3": "UPDATE documents SET text = X'32'"
    " WHERE text = X'33'",
    "its journal counts 0 entries, there are 3, the newest is number 3": "DELETE FROM documents WHERE text = X'33'",
    "its log has not": "DELETE FROM events WHERE place = (SELECT max(e.place) FROM events e JOIN request_heads h"
    " ON h.request = e.request WHERE h.open = 0 AND e.sequence = h.sequence)",
    "its log has ended, it has not": "UPDATE request_heads SET status = 0, open = 1 WHERE request ="
    " (SELECT max(request) FROM request_heads WHERE open = 0)",
    "its counter only to": "UPDATE session_heads SET sequence = 1 WHERE sequence > 4",
    "its counter goes only to": "UPDATE session_heads SET turns = turns - 1 WHERE turns > 0",
    "runs on a process that is not there": "DELETE FROM processes",
    "it is no JSON": "UPDATE states SET text = X'7B' WHERE id = 'ada'",
    "it is no JSON object": "UPDATE states SET text = X'5B5D' WHERE id = 'ada'",
    "holds no JSON": "UPDATE events SET payload = X'7B' WHERE type = 16",
    "is of a request that is not there": "DELETE FROM requests WHERE request = 2",
}


NOTED = SessionKey(NO_TENANT, "noted")


@pytest.mark.parametrize("problem", BROKEN)
async def test_what_does_not_fit_is_found(problem: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.open()
    await fill(store, 30)
    notes = (Note("n1", "one"), Note("n2", "two"), Note("n3", "three"))
    await store.commit((CreateSession(NOTED, "log", "chat", "ada"), AppendJournal(NOTED, "log", notes)))
    assert [found async for found in check_store(store)] == []
    await store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(BROKEN[problem]).rowcount > 0
        database.commit()
    store = SqliteStore(path)
    await store.open()
    found = [one async for one in check_store(store)]
    await store.close()
    assert any(problem in one for one in found), found


async def test_a15_a_byte_that_flips_in_the_wal_costs_what_is_behind_it_and_nothing_before(
    tmp_path: Path,
) -> None:
    """SQLite opens without a word, and what is left fits together: a check can find nothing, as the README says."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    await fill(store, 30)
    damaged = tmp_path / "damaged.db"
    shutil.copy(tmp_path / "store.db", damaged)
    log = bytearray((tmp_path / "store.db-wal").read_bytes())
    log[len(log) // 2] ^= 1
    (tmp_path / "damaged.db-wal").write_bytes(log)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        (whole,) = database.execute("SELECT count(*) FROM events").fetchone()

    store = SqliteStore(damaged)
    await store.open()
    found = [one async for one in check_store(store)]
    await store.close()
    with closing(sqlite3.connect(damaged)) as database:
        (left,) = database.execute("SELECT count(*) FROM events").fetchone()
    assert 0 < left < whole
    assert not found
    assert "What SQLite does not notice" in (Path(sqlite.__file__ or "").parent / "README.md").read_text(
        "utf-8"
    )
