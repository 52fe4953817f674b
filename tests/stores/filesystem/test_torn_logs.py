"""Logs whose newest events were swept, and whose last line is torn."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.filesystem.store import FilesystemStore
from flowstate_server.testing.store_contract.builders import events_of, new_session, note, open_scene


@pytest.mark.parametrize("finished", [True, False], ids=["a log with events", "a log without"])
async def test_a_torn_line_behind_swept_events_is_dropped(tmp_path: Path, finished: bool) -> None:
    folder = tmp_path / "store"
    store = FilesystemStore(folder)
    await store.open()
    session = SessionKey(NO_TENANT, "session-1")
    if finished:
        scene = await open_scene(store)
        await scene.finish()
    else:
        await store.commit((new_session(),))
    await store.commit((AppendEvents(session, (note("gone", transient=True),)),))
    assert await store.sweep_transient_events(retention=Micros(0), limit=100) == 1
    await store.close()

    (log,) = folder.glob("sessions/*/*/events-*.jsonl")
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"session_sequence":9,"pay')
    for _ in range(2):
        store = FilesystemStore(folder)
        await store.open()
        if finished:
            assert len(await events_of(store, RequestKey(NO_TENANT, "request-1"))) == 1
        await store.commit((AppendEvents(session, (note("after"),)),))
        await store.close()
    assert log.read_bytes().startswith(whole)
    assert log.read_bytes().count(b"\n") == whole.count(b"\n") + 2
