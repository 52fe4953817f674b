"""One process a folder, one format, and nobody else's files."""

from __future__ import annotations

import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flowstate_server.errors import StoreOpenError, StoreUnavailableError, StoreUnreachableError
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.filesystem import FilesystemStore, folder
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.testing.child_signals import with_default_signals
from flowstate_server.testing.store_contract.builders import increment, state_of
from flowstate_server.testing.store_contract.cancellation import cancelled_ever_later
from tests.stores.filesystem.script import ADA, SESSION, die_after, opened

HOLDER = Path(__file__).with_name("holder.py")


@asynccontextmanager
async def holder(path: Path) -> AsyncIterator[Process]:
    process = await create_subprocess_exec(
        *with_default_signals(sys.executable, str(HOLDER), str(path)), stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    async with holder(tmp_path) as process:
        assert process.stdout is not None
        for _ in range(20):
            await process.stdout.readline()
        with pytest.raises(StoreOpenError) as refused:
            await FilesystemStore(tmp_path).open()
        assert str(refused.value).endswith(
            f"{tmp_path} is in use by another process (pid {process.pid}); the filesystem store serves one process, "
            "use sqlite:/// or postgres:// for several."
        )
        process.kill()
        said = (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    acknowledged = max((int(line) for line in said if line.endswith(b"\n")), default=20)
    async with opened(tmp_path) as store:
        ada, bob = await state_of(store, user_scope("ada")), await state_of(store, user_scope("bob"))
        assert ada.version == bob.version
        assert acknowledged <= ada.version <= acknowledged + 1


async def test_a_second_store_of_the_same_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(StoreUnreachableError, match="is in use by another process"):
            await FilesystemStore(tmp_path).open()
        await store.commit((increment(ADA),))
    async with opened(tmp_path) as store:
        assert (await state_of(store, ADA)).version == 1


async def test_folders_are_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "not" / "there") as store:
        await store.commit((increment(ADA),))
    assert (tmp_path / "not" / "there" / "format.json").exists()


async def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreOpenError, match=r"is not empty and not a flowstate .*: it holds 'thesis\.txt'"):
        await FilesystemStore(tmp_path).open()
    assert os.listdir(tmp_path) == ["thesis.txt"]


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreOpenError, match="file"):
        await FilesystemStore(tmp_path / "file").open()


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    path = tmp_path / "format.json"
    assert json.loads(path.read_text()) == {"store": folder.NAME, "format": 1}
    path.write_text(json.dumps({"store": folder.NAME, "format": 99}))
    with pytest.raises(StoreOpenError, match=r"has format 99, this version knows 1; upgrade FlowState"):
        await FilesystemStore(tmp_path).open()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"store": "other", "format": 1}'])
async def test_a_format_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format.json").write_text(text)
    with pytest.raises(StoreOpenError, match=r"format\.json does not say which format"):
        await FilesystemStore(tmp_path).open()


async def test_migrations_run_once_each_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as store:
        await store.commit((increment(ADA),))
    done: list[int] = []
    fails = [False, True, False, False]

    def migration(number: int) -> None:
        if fails.pop(0):
            raise OSError("no room")
        done.append(number)

    def second(path: Path, files: Files) -> None:
        migration(2)

    def third(path: Path, files: Files) -> None:
        migration(3)

    monkeypatch.setattr(folder, "MIGRATIONS", (second, third))
    with pytest.raises(StoreOpenError, match="no room"):
        await FilesystemStore(tmp_path).open()
    for _ in range(2):
        async with opened(tmp_path) as store:
            assert (await state_of(store, ADA)).version == 1
    assert done == [2, 3]
    assert json.loads((tmp_path / "format.json").read_text())["format"] == 3


async def test_the_journal_is_replayed_before_a_migration_sees_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die_after(tmp_path, 2)
    seen: list[bytes] = []
    path = tmp_path / "users" / "ada" / "shared.json"
    held = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(folder, "MIGRATIONS", (lambda _, files: seen.append(files.read(path)),))
    async with opened(tmp_path):
        assert seen == [held]


async def test_closed_or_never_opened_it_is_unavailable(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.get_session(SESSION)
    with pytest.raises(StoreUnavailableError):
        await store.commit((increment(ADA),))
    await store.open()
    await store.close()
    await store.close()
    for call in (store.commit((increment(ADA),)), store.time(), store.sweep_processes(limit=1)):
        with pytest.raises(StoreUnavailableError):
            await call


async def test_a_store_that_was_closed_may_be_opened_again(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    for version in (1, 2):
        await store.open()
        await store.commit((increment(ADA),))
        assert (await state_of(store, ADA)).version == version
        await store.close()


async def test_an_opening_that_is_cancelled_leaves_the_folder_free(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    async for cancelled in cancelled_ever_later(store.open):
        if cancelled:
            async with opened(tmp_path) as other:
                await other.commit((increment(ADA),))
    await store.close()
