"""A folder that is replaced by another one from under a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.filesystem import FilesystemStore
from tests.stores.sqlite import batches


def replace(folder: Path) -> set[Path]:
    folder.rename(folder.with_name("old"))
    shutil.copytree(folder.with_name("old"), folder)
    return set(folder.rglob("*"))


def put_back(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.with_name("old").rename(folder)


def content(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


async def test_a14_nothing_is_acknowledged_in_another_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "store"
    store = FilesystemStore(folder)
    await store.open()
    await store.commit(batches.add_one())
    left = replace(folder)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.commit(batches.add_one())
    assert content(folder) == left
    assert f"{folder} was replaced while it was open" in caplog.text
    put_back(folder)
    assert (await store.commit(batches.add_one())).results[-1].version == 2
    await store.close()
