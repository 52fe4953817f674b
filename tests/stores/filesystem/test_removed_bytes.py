"""What was removed is in no file of the folder."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from flowstate_server.stores.filesystem import FilesystemStore
from flowstate_server.stores.filesystem.store import FilesystemBackend
from flowstate_server.testing.store_contract.builders import events_of, item_done, open_scene
from flowstate_server.testing.store_contract.item_removals import SECRET, delta, removal


def _files_with(folder: Path, words: bytes) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if words in path.read_bytes())


async def test_its_bytes_are_gone_with_the_commit(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "store")
    await store.open()
    scene = await open_scene(store)
    await scene.append(delta("a"), item_done("a", 0, SECRET))
    await scene.finish()
    assert "journal.jsonl" in _files_with(tmp_path, b"secret")
    write = await removal(store, scene.session, ["a"])
    assert len(_files_with(tmp_path, b"secret")) == 2
    await store.commit((write,))
    assert _files_with(tmp_path, b"secret") == []
    await store.close()


async def test_a_journal_that_cannot_be_cut_is_cut_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path / "store")
    await store.open()
    scene = await open_scene(store)
    await scene.append(item_done("a", 0, SECRET))
    await scene.finish()
    write = await removal(store, scene.session, ["a"])
    assert isinstance(store.backend, FilesystemBackend)

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(store.backend.journal, "checkpoint", fail)
        await store.commit((write,))
    assert "until that can be cut" in caplog.text
    assert _files_with(tmp_path, b"secret") == ["journal.jsonl"]
    events = await events_of(store, scene.session)
    await store.close()
    assert _files_with(tmp_path, b"secret") == []
    again = FilesystemStore(tmp_path / "store")
    await again.open()
    assert await events_of(again, scene.session) == events
    await again.close()
