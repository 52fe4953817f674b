"""The store of ``examples/custom_store`` keeps the contract."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from examples.custom_store import SnapshotStore
from flowstate_server.errors import FlowStateError, StoreOpenError
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.polling import PollingWatchHub, Seen
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.store import Store
from flowstate_server.testing.history import History, RecordedStore, Recorder, require_history
from flowstate_server.testing.server import running_server
from flowstate_server.testing.store_contract import Check, NotProvided, StoreHarness, all_checks
from tests.support.histories import random_parts, writes_of
from tests.support.journals import (
    block_and_client_see_the_same,
    diary,
    pages_stay_right_while_others_append,
)


class SnapshotHarness(StoreHarness):
    persistent = True
    shared = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make(self) -> Store:
        return SnapshotStore(self._path)


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__.removeprefix("check_"))
async def test_custom_store_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    async with SnapshotHarness(tmp_path / "snapshot") as harness:
        try:
            await check(harness)
        except NotProvided as reason:
            pytest.skip(str(reason))


async def test_it_keeps_journals(tmp_path: Path) -> None:
    async with running_server(diary, store=SnapshotStore(tmp_path / "snapshot")) as server:
        await block_and_client_see_the_same(server)
        await pages_stay_right_while_others_append(server)


async def test_clients_of_three_handles_have_one_history(tmp_path: Path) -> None:
    keys = [user_scope(f"user {number}") for number in range(4)]
    recorders = [Recorder(f"client {number}") for number in range(6)]

    async def run(store: RecordedStore, chance: random.Random) -> None:
        for _ in range(40):
            writes = writes_of(random_parts(chance, keys))
            with suppress(FlowStateError):
                await (store.commit(tuple(writes)) if writes else store.load_states(keys))

    async with SnapshotHarness(tmp_path / "snapshot") as harness:
        handles = [await harness.open() for _ in range(3)]
        clients = [RecordedStore(handles[number % 3], recorder) for number, recorder in enumerate(recorders)]
        await asyncio.gather(*(run(client, random.Random(number)) for number, client in enumerate(clients)))
        await clients[0].load_states(keys)
    history = History.merged(recorder.history for recorder in recorders)
    assert len(history.answered) > 6 * 40 / 2
    require_history(history)


async def test_a_look_that_fails_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    topic = Topic(TopicKind.USER, NO_TENANT, "ada")
    asked: list[int] = []

    async def changed_since(commit: int) -> Seen:
        asked.append(commit)
        if len(asked) == 2:
            raise OSError("not now")
        return Seen(len(asked), (topic,))

    hub = PollingWatchHub(changed_since, interval=Seconds(0.001))
    await hub.start()
    with hub.open((topic,)) as watch:
        await watch.wait()
        await watch.wait()
    await hub.close()
    await hub.close()
    assert asked[:4] == [0, 1, 1, 3]
    assert "asked again" in caplog.text


async def test_what_was_forgotten_wakes_everybody() -> None:
    async def changed_since(commit: int) -> Seen:
        return Seen(9, None)

    hub = PollingWatchHub(changed_since)
    with hub.open((Topic(TopicKind.USER, NO_TENANT, "ada"),)) as watch:
        await hub.look()
        await watch.wait()


async def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(b"something else, long enough for a header")
    with pytest.raises(StoreOpenError, match="not a snapshot"):
        await SnapshotStore(path).open()
