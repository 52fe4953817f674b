"""Dying, losing power, running out of room: at every operation on the files."""

from __future__ import annotations

import errno
from itertools import count
from pathlib import Path

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.json_values import JsonObject
from flowstate_server.stores.filesystem import FilesystemStore, journal
from flowstate_server.testing.store_contract.builders import increment, number, put, state_of
from tests.stores.filesystem import script
from tests.stores.filesystem.faults import FaultyFiles
from tests.stores.filesystem.power import VolatileFiles

SHARES = 4
"""The operations are dealt out to so many tests, each of which is soon done."""


@pytest.fixture(autouse=True)
def _short_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is cut a few times."""
    monkeypatch.setattr(journal, "LIMIT", 4000)


@pytest.mark.parametrize("first", range(SHARES))
@pytest.mark.parametrize("torn", [False, True], ids=["between", "torn"])
async def test_dying_at_any_operation_leaves_it_whole(tmp_path: Path, torn: bool, first: int) -> None:
    for operations in count(first, SHARES):
        folder, files = tmp_path / str(operations), FaultyFiles()
        files.crash_after(operations, torn=torn)
        outcome = await script.live(FilesystemStore(folder, files=files))
        await script.check_whole(folder, outcome)
        if files.operations <= operations:
            assert outcome.finished
            assert operations > 50
            return


@pytest.mark.parametrize("first", range(SHARES))
@pytest.mark.parametrize("seed", range(2))
async def test_a_power_cut_at_any_operation_leaves_it_whole(tmp_path: Path, seed: int, first: int) -> None:
    for operations in count(first + seed * SHARES, 2 * SHARES):  # every other one by each seed
        folder, files = tmp_path / str(operations), VolatileFiles()
        files.crash_after(operations, torn=seed % 2 == 1)
        outcome = await script.live(FilesystemStore(folder, files=files))
        files.cut_power(seed * 1000 + operations)
        await script.check_whole(folder, outcome)
        if files.operations <= operations:
            assert outcome.finished
            assert operations > 50
            return


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
async def test_an_operation_that_fails_once_leaves_a_store_that_goes_on(
    tmp_path: Path, error: int, torn: bool
) -> None:
    """In the process that saw it fail, and after it."""
    for failing in count():
        folder, files = tmp_path / str(failing), FaultyFiles()
        store = FilesystemStore(folder, files=files)
        await store.open()
        for batch in script.batches()[:7]:
            await store.commit(batch)
        files.fail(failing, error=error, torn=torn)
        before = files.operations
        outcome = script.Outcome(answered=7)
        for call in (
            store.commit(script.batches()[7]),
            store.sweep_transient_events(retention=Micros(0), limit=100),
            store.sweep_documents(limit=100),
        ):
            try:
                await call
            except StoreUnavailableError as refused:
                outcome.errors.append(refused)
        outcome.answered = number(await state_of(store, script.ADA))
        await script.check_steps(store, outcome.answered)
        done = files.operations - before <= failing
        files.heal()
        held = await script.everything(store)
        await store.close()
        async with script.opened(folder) as again:
            assert await script.everything(again) == held
        await script.check_whole(folder, outcome)
        if done:
            assert not outcome.errors
            assert failing > 5
            return
        assert len(outcome.errors) <= 1


async def test_a_full_disk_refuses_commits_and_is_used_again_once_there_is_room(tmp_path: Path) -> None:
    files = FaultyFiles()
    store = FilesystemStore(tmp_path, files=files)
    await store.open()
    large: JsonObject = {"n": 1, "text": "x" * 100_000}
    await store.commit((put(script.ADA, large),))
    files.fill()
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.commit((increment(script.ADA), increment(script.ACME)))
        assert (await state_of(store, script.ADA)).state == large
    with pytest.raises(StoreUnavailableError):
        await store.sweep_transient_events(retention=Micros(0), limit=1) or await store.commit(
            (increment(script.ADA),)
        )
    files.heal()
    result = await store.commit((increment(script.ADA), increment(script.ACME)))
    assert [write.version for write in result.results] == [2, 1]
    await store.close()
    async with script.opened(tmp_path) as again:
        assert number(await state_of(again, script.ADA)) == 2


async def test_closing_on_a_full_disk_loses_nothing_and_gives_the_folder_back(tmp_path: Path) -> None:
    files = FaultyFiles()
    store = FilesystemStore(tmp_path, files=files)
    await store.open()
    await store.commit((increment(script.ADA),))
    files.fill()
    await store.close()
    async with script.opened(tmp_path) as again:
        assert (await state_of(again, script.ADA)).version == 1


async def test_what_is_committed_but_not_in_its_files_yet_is_paid_before_anything_is_written(
    tmp_path: Path,
) -> None:
    files = FaultyFiles()
    store = FilesystemStore(tmp_path, files=files)
    await store.open()
    await store.commit((increment(script.ADA),))
    files.fail(
        3, 4, 5
    )  # the rename of the new file: after it was written, the journal too and forced to the disk
    result = await store.commit((increment(script.ADA),))
    assert result.results[0].version == 2
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await store.commit((increment(script.ADA),))
        assert (await state_of(store, script.ADA)).version == 2
    result = await store.commit((increment(script.ADA),))
    assert result.results[0].version == 3
    await store.close()
    async with script.opened(tmp_path) as again:
        assert (await state_of(again, script.ADA)).version == 3
