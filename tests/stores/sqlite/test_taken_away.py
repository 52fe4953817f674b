"""A database whose files are taken away from under a store, and files that are no database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.errors import LeaseLostError, StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.sqlite import SqliteStore
from tests.stores.sqlite import batches

LEASE = Micros(60 * SECOND)


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for name in ("", "-wal", "-shm"):
        Path(f"{path}{name}").unlink()


def delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def delete_shared_memory(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def put_back(path: Path) -> None:
    path.with_name("elsewhere.db").rename(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replace(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


def delete_everything(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


TAKEN = [delete, delete_all, delete_log, delete_shared_memory, move, move_folder, replace, delete_everything]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder / "flowstate.db"


@pytest.mark.parametrize("take_away", TAKEN)
async def test_a14_nothing_is_acknowledged_once_the_files_are_gone(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture, take_away: Callable[[Path], None]
) -> None:
    await store.commit((RenewLease("process", LEASE, start=True),))
    take_away(path)
    left = files_of(path)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.commit(batches.add_one())
        with pytest.raises(StoreUnavailableError):
            await store.sweep_processes(limit=1)
    assert f"{path} was deleted or replaced while it was open" in caplog.text
    renewal = store.renewal
    assert renewal is not None
    with pytest.raises(StoreUnavailableError):
        renewal.renew("process", LEASE)
    renewal.close()
    assert files_of(path) == left  # nobody makes a new one


async def test_a14_it_goes_on_once_the_file_is_put_back(store: SqliteStore, path: Path) -> None:
    await store.commit(batches.add_one())
    move(path)
    with pytest.raises(StoreUnavailableError):
        await store.commit(batches.add_one())
    put_back(path)
    result = await store.commit(batches.add_one())
    assert result.results[-1].version == 2


@pytest.mark.parametrize("take_away", [delete, delete_all, delete_log, delete_shared_memory, move, replace])
async def test_a14_no_second_history_is_begun_beside_one_that_is_open(
    store: SqliteStore, path: Path, take_away: Callable[[Path], None]
) -> None:
    await store.commit(batches.add_one())
    take_away(path)
    left = files_of(path)
    second = SqliteStore(path)
    with pytest.raises(StoreOpenError, match=rf"pid {os.getpid()}\) had it open, and still has"):
        await second.open()
    assert files_of(path) == left
    await store.close()
    await second.open()
    await second.commit(batches.add_one())
    await second.close()


async def test_a14_several_may_have_it_open_and_close_it_in_any_order(store: SqliteStore, path: Path) -> None:
    second, third = SqliteStore(path), SqliteStore(path)
    await second.open()
    await store.commit(batches.add_one())
    await store.close()
    await third.open()
    await second.commit(batches.add_one())
    await second.close()
    assert (await third.commit(batches.add_one())).results[-1].version == 3
    await third.close()
    assert files_of(path) == {path.name, f"{path.name}-next", f"{path.name}-writer"}


def files_of(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()} if path.parent.exists() else set()


def folder_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, " * 1000)


def text(path: Path) -> None:
    path.write_text("hello\n")


def torn(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a)")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + os.urandom(len(whole) - 100))


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a)")


@pytest.mark.parametrize("write", [garbage, text, torn, of_another_program])
async def test_w12_what_is_no_database_is_refused_in_one_line_and_nothing_is_left(
    path: Path, caplog: pytest.LogCaptureFixture, write: Callable[[Path], None]
) -> None:
    write(path)
    before = folder_of(path)
    with pytest.raises(StoreOpenError) as refused:
        await SqliteStore(path).open()
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not caplog.records
    assert folder_of(path) == before


async def test_a_lease_is_lost_and_not_unavailable_while_the_files_are_there(store: SqliteStore) -> None:
    renewal = store.renewal
    assert renewal is not None
    with pytest.raises(LeaseLostError):
        renewal.renew("unknown", LEASE)
    renewal.close()


@pytest.mark.parametrize("take_away", TAKEN)
async def test_a14_nor_where_nothing_else_has_come_or_gone_for_long(
    store: SqliteStore, path: Path, take_away: Callable[[Path], None]
) -> None:
    long_ago = time.time() - 60
    await store.commit(batches.add_one())
    os.utime(path.parent, (long_ago, long_ago))
    await store.commit(batches.add_one())
    await store.commit(batches.add_one())
    take_away(path)
    with pytest.raises(StoreUnavailableError):
        await store.commit(batches.add_one())
