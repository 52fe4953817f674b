"""What was removed is nowhere any more: not on the wire, not in a copy, not in the files of a folder."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest, TailEventsRequest
from flowstate.v1.flow_service_pb2 import GetActionRequestRequest, ListActionRequestsRequest
from flowstate.v1.session_service_pb2 import GetSnapshotRequest, ListItemsRequest
from flowstate_client import ActionFailed, FlowStateClient, NewItem
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.tables import EXPORTED, Table
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store, copy_store
from flowstate_server.testing.fixtures import StartServer, start_server
from tests.support.canaries import Canaries
from tests.support.raw_calls import TRUSTED, Stubs, stubs_of
from tests.support.remembering import Held, remembering
from tests.support.store_urls import DURABLE, NewStore, new_stores
from tests.support.wire import read_all

__all__ = ["start_server"]

GONE = {"asked", "added", "half of a turn", "refused", "named"}
LEFT = {"kept", "the other half"}


@pytest.fixture(autouse=True)
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.mark.parametrize("kind", DURABLE)
async def test_removed_content_is_nowhere(
    kind: str, start_server: StartServer, new_store: NewStore, tmp_path: Path
) -> None:
    url = await new_store(kind)
    canaries = Canaries()
    server = await start_server(remembering(Held()), store=url)
    async with server.connect(plane="trusted", user="ada") as client, stubs_of(server.target) as stubs:
        requests = await _converse(client, canaries)
        assert await _on_the_wire(stubs, requests, canaries) == GONE | LEFT
        await _remove(client, canaries)
        assert await _on_the_wire(stubs, requests, canaries) == LEFT
        recalled = await client.flows.call("remembering", "recall", {}, session_id="s")
        assert canaries.found(str(recalled).encode()) == LEFT
        if kind == "file":  # at once, without a restart that might tidy up
            assert _in_files(tmp_path, canaries) == LEFT
    await server.stop()
    store = store_from_url(url)
    await store.open()
    try:
        assert [problem async for problem in check_store(store)] == []
        copy = MemoryStore()
        await copy.open()
        await copy_store(store, copy, name="source")
        for one in (store, copy):
            assert canaries.found(await _everything(one)) == LEFT
        await copy.close()
    finally:
        await store.close()
    if kind == "sqlite":
        _vacuum(tmp_path / "flowstate.db")
    if kind != "postgres":
        assert _in_files(tmp_path, canaries) == LEFT


async def _converse(client: FlowStateClient, canaries: Canaries) -> list[str]:
    await client.sessions.create("remembering", session_id="s")
    requests = []
    for place in ("kept", "asked"):
        run = await client.flows.dispatch("remembering", "say", {"text": canaries(place)}, session_id="s")
        await run.result()
        requests.append(run.request_id)
    run = await client.flows.dispatch("remembering", "refuse", {"text": canaries("refused")}, session_id="s")
    with pytest.raises(ActionFailed):
        await run.result()
    requests.append(run.request_id)
    named = [NewItem("custom", canaries("named"), name=canaries("named"))]
    await client.sessions.append_items("s", named)
    for places in (("half of a turn", "the other half"), ("added",)):
        items = [NewItem.message("user", canaries(place)) for place in places]
        await client.sessions.append_items("s", items)
    return requests


async def _remove(client: FlowStateClient, canaries: Canaries) -> None:
    gone = [
        item.item_id
        async for item in client.sessions.items("s")
        if canaries.found(str(item.content).encode()) & GONE
    ]
    assert len(gone) == 6
    assert await client.sessions.remove_items("s", gone) == gone


async def _on_the_wire(stubs: Stubs, requests: list[str], canaries: Canaries) -> set[str]:
    answers: list[Any] = []
    for plane in ((), TRUSTED):
        metadata = (*plane, ("x-flowstate-user", "ada"))
        lists = ListActionRequestsRequest(session_id="s", with_payloads=True)
        answers += [
            await stubs.sessions.ListItems(ListItemsRequest(session_id="s"), metadata=metadata),
            await stubs.sessions.ListItems(ListItemsRequest(session_id="s", last_turns=9), metadata=metadata),
            await stubs.sessions.GetSnapshot(GetSnapshotRequest(session_id="s"), metadata=metadata),
            await stubs.flows.ListActionRequests(lists, metadata=metadata),
            await stubs.events.ListEvents(ListEventsRequest(session_id="s"), metadata=metadata),
        ]
        for request_id in requests:
            get = GetActionRequestRequest(request_id=request_id)
            answers.append(await stubs.flows.GetActionRequest(get, metadata=metadata))
            tail = TailEventsRequest(request_id=request_id, replay_only=True)
            answers += await read_all(stubs.events.TailEvents(tail, metadata=metadata))
    return canaries.found(b"\n".join(answer.SerializeToString() for answer in answers))


async def _everything(store: Store) -> bytes:
    exports = store.exports
    assert exports is not None
    rows: list[Any] = []
    tables: tuple[Table[Any, Any], ...] = EXPORTED
    for table in tables:
        after = None
        while page := await exports.export(table, after=after, limit=1000, max_bytes=1 << 30):
            rows += page
            after = table.key_of(page[-1])
    return repr(rows).encode()


def _in_files(folder: Path, canaries: Canaries) -> set[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return canaries.found(b"\n".join(path.read_bytes() for path in files))


def _vacuum(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
