"""The journal: replayed, cut, and refused when it is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flowstate_server.errors import StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.filesystem import FilesystemStore, journal
from flowstate_server.stores.filesystem.store import FilesystemBackend
from flowstate_server.testing.store_contract.builders import increment, new_session, note, put, state_of
from tests.stores.filesystem import script
from tests.stores.filesystem.faults import FaultyFiles
from tests.stores.filesystem.script import ACME, ADA, SESSION, die_after, opened


async def versions(folder: Path) -> list[int]:
    async with opened(folder) as store:
        return [(await state_of(store, key)).version for key in (ADA, ACME)]


def journal_of(folder: Path) -> Path:
    return folder / "journal.jsonl"


@pytest.mark.parametrize("cut", [1, 2, 30, 10_000])
async def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    await die_after(tmp_path, 3)
    path = journal_of(tmp_path)
    text = path.read_bytes()
    *_, last = text.splitlines(keepends=True)
    path.write_bytes(text[: -min(cut, len(last))])
    for shared in (tmp_path / "users", tmp_path / "orgs"):
        shutil.rmtree(shared)  # nothing of them was on the disk
    assert await versions(tmp_path) == [2, 2]


async def test_zeros_in_place_of_the_last_line_are_dropped(tmp_path: Path) -> None:
    await die_after(tmp_path, 3)
    with journal_of(tmp_path).open("ab") as file:
        file.write(b"\0" * 500)
    assert await versions(tmp_path) == [3, 3]


@pytest.mark.parametrize("at", [0, 5, 100])
async def test_a_damaged_line_that_is_not_the_last_is_refused(tmp_path: Path, at: int) -> None:
    await die_after(tmp_path, 3)
    path = journal_of(tmp_path)
    text = bytearray(path.read_bytes())
    text[at] ^= 1
    path.write_bytes(text)
    with pytest.raises(StoreOpenError, match=r"journal\.jsonl: line 1 is damaged, and it is not the last"):
        await versions(tmp_path)
    assert path.read_bytes() == text
    text[at] ^= 1
    path.write_bytes(text)
    assert await versions(tmp_path) == [3, 3]


async def test_a_replay_may_be_repeated(tmp_path: Path) -> None:
    """A journal that was replayed and comes back, as when its cut was not on the disk yet, changes nothing."""
    files = FaultyFiles()
    store = FilesystemStore(tmp_path, files=files)
    await store.open()
    for batch in script.batches():
        await store.commit(batch)
    held = await script.everything(store)
    files.crash_after(0)
    await store.close()
    text = journal_of(tmp_path).read_bytes()
    for _ in range(3):
        async with opened(tmp_path) as again:
            assert await script.everything(again) == held
        assert journal_of(tmp_path).read_bytes() == b""
        journal_of(tmp_path).write_bytes(text)


async def test_the_journal_is_cut_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LIMIT", 20_000)
    text = {"text": "x" * 1000}
    async with opened(tmp_path) as store:
        sizes = []
        for _ in range(100):
            await store.commit((put(ADA, {**text}),))
            sizes.append(journal_of(tmp_path).stat().st_size)
        assert max(sizes) <= 20_000
        assert sizes.count(0) >= 5
    assert journal_of(tmp_path).read_bytes() == b""


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_log_that_was_swept_is_not_spoilt_by_what_the_journal_knows_of_the_longer_one(
    tmp_path: Path, goes_on: bool
) -> None:
    async with opened(tmp_path) as store:
        first = AppendEvents(SESSION, (note(transient=True), note("first")))
        await store.commit((new_session(SESSION.session_id, tenant=SESSION.tenant), first))
    files = FaultyFiles()
    dying = FilesystemStore(tmp_path, files=files)
    await dying.open()
    await dying.commit((AppendEvents(SESSION, (note("second" * 100),)),))
    assert await dying.sweep_transient_events(retention=Micros(0), limit=10) == 1
    if goes_on:
        await dying.commit((AppendEvents(SESSION, (note("third"),)),))
    held = await script.everything(dying)
    files.crash_after(0)
    await dying.close()
    async with opened(tmp_path) as store:
        assert await script.everything(store) == held


async def test_a_failed_checkpoint_writes_all_files_again_before_it_trusts_a_later_one(
    tmp_path: Path,
) -> None:
    """After an fsync has failed the next one may succeed though the kernel has dropped what it could not write."""
    files = FaultyFiles()
    store = FilesystemStore(tmp_path, files=files)
    await store.open()
    await store.commit((increment(ADA),))
    backend = store.backend
    assert isinstance(backend, FilesystemBackend)
    files.fail(0)
    with pytest.raises(StoreUnavailableError):
        await backend.worker.run(backend.journal.checkpoint)
    (tmp_path / "users" / "ada" / "shared.json").write_bytes(b"")
    await store.close()
    assert journal_of(tmp_path).read_bytes() == b""
    async with opened(tmp_path) as again:
        assert (await state_of(again, ADA)).version == 1
