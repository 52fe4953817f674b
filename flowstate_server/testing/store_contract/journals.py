"""Journals: numbers without a hole, pages from both ends, gone with their session."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import SessionNotFoundError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.journal import JournalRecord, Note, decode_entry, journal_range
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.contract.writes import (
    CommitResult,
    PutIdempotencyKey,
    RequireRun,
    SessionChanged,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import PROCESS, new_session, open_scene
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

SESSION = SessionKey(NO_TENANT, "session-1")
LOG = "log-session-1"


def append(*texts: str) -> AppendJournal:
    return AppendJournal(SESSION, LOG, tuple(Note(f"id-{text}", text) for text in texts))


async def entries_of(store: Store, *, limit: int = 100, **which: object) -> list[JournalRecord]:
    found = journal_range(SESSION, LOG, limit=limit, **which)  # type: ignore[arg-type]
    return [decode_entry(document) for document in await store.read_documents(found)]


async def check_journal_keeps_notes_as_appended(harness: StoreHarness) -> None:
    """An entry comes back to the byte, with its number and the time of its commit."""
    store = await harness.open()
    await store.commit((new_session(),))
    note = Note(
        entry_id="jrn_1",
        text="line\nbreak, ü",
        source="söurce",
        tags=("a", "ü"),
        data=b'{"n":1.0,"t":"\\u0000"}',
        request_id="request-1",
    )
    result = await store.commit((AppendJournal(SESSION, LOG, (note, Note("jrn_2", "ünïcode \U0001f600"))),))
    [written] = result.results
    assert (written.version, written.ids, written.changed) == (2, ("jrn_1", "jrn_2"), True)
    first, second = await entries_of(store)
    assert (first.note, first.number, first.create_time) == (note, 1, result.time)
    assert (second.note.text, second.note.data, second.number) == ("ünïcode \U0001f600", None, 2)
    assert [decode_entry(document) for document in written.documents] == [first, second]
    nothing = await store.commit((append(),))
    assert (nothing.results[0].changed, nothing.results[0].version) == (False, 2)


async def check_journal_is_read_from_both_ends(harness: StoreHarness) -> None:
    """Pages from either end are the whole journal, and go on beyond any entry."""
    store = await harness.open()
    await store.commit((new_session(),))
    for first in range(0, 30, 3):
        await store.commit((append(*(str(number) for number in range(first, first + 3))),))
    up = [entry.note.text for entry in await entries_of(store)]
    assert up == [str(number) for number in range(30)]
    down = [entry.number for entry in await entries_of(store, limit=4, newest_first=True)]
    assert down == [30, 29, 28, 27]
    beyond = [entry.number for entry in await entries_of(store, limit=3, newest_first=True, beyond=27)]
    assert beyond == [26, 25, 24]
    assert [entry.number for entry in await entries_of(store, limit=2, beyond=28)] == [29, 30]


async def check_journal_numbers_have_no_hole_under_concurrency(harness: StoreHarness) -> None:
    """Entries appended at once through two handles are numbered 1, 2, 3, ..., those of one batch in a row."""
    one, other = await harness.open(), await harness.open()
    await one.commit((new_session(),))
    batches = [append(f"{number} a", f"{number} b") for number in range(20)]
    await asyncio.gather(*((one, other)[n % 2].commit((batch,)) for n, batch in enumerate(batches)))
    for store in (one, other):
        entries = await entries_of(store)
        assert [entry.number for entry in entries] == list(range(1, 41))
        texts = [entry.note.text for entry in entries]
        assert sorted(texts) == sorted(note.text for batch in batches for note in batch.notes)
        for number in range(0, 40, 2):
            assert texts[number].split()[0] == texts[number + 1].split()[0]


async def check_repeated_append_is_one(harness: StoreHarness) -> None:
    """A repeat under a known idempotency key appends nothing and tells the first ids."""
    store = await harness.open()
    await store.commit((new_session(),))
    key = PutIdempotencyKey(
        IdempotencyKey(NO_TENANT, "p", "AppendJournal", "k"), "print", Micros(60 * SECOND)
    )
    first: CommitResult = await store.commit((key, append("a", "b")))
    again = await store.commit((key, append("a", "b")))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.results[1].ids == first.results[1].ids == ("id-a", "id-b")
    assert len(await entries_of(store)) == 2


async def check_journal_needs_its_session(harness: StoreHarness) -> None:
    """No entry without a live session of the incarnation meant, nor of a run that is over."""
    store = await harness.open()
    with refused(SessionNotFoundError):
        await store.commit((append("a"),))
    scene = await open_scene(store)
    with refused(SessionChanged):
        await store.commit((replace(append("a"), log_id="another"),))
    await store.commit((RequireRun(scene.request, PROCESS), append("of a run")))
    assert [entry.note.text for entry in await entries_of(store)] == ["of a run"]
