"""A reader who is busy while what was told is removed: it is shown what the store has by then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from flowstate_server.engine.calls.logs import (
    EndReason,
    TailBatch,
    TailCall,
    TailCaughtUp,
    TailEnded,
    TailFrame,
)
from flowstate_server.engine.logs.events import Events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.observation import NOBODY
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract.builders import Scene, item_done, note, open_scene
from flowstate_server.testing.store_contract.item_removals import SECRET, removal


class Busy:
    """A tail whose reader takes no more frames, while its request tells a secret and ends."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        events = Events(scene.store, Catalogue(), EngineSettings(), NOBODY)
        self._frames = events.follow(Principal(plane=Plane.TRUSTED), TailCall(request_id="request-1"))

    async def begin(self) -> None:
        while not isinstance(await anext(self._frames), TailCaughtUp):
            pass
        upcoming = asyncio.ensure_future(anext(self._frames))
        await asyncio.sleep(0)
        await self.scene.append(note("1"))
        await upcoming
        await self.scene.append(item_done("a", 0, SECRET))
        await self.scene.finish()

    async def rest(self) -> Sequence[TailFrame]:
        return [frame async for frame in self._frames]


@pytest.fixture
async def busy() -> AsyncIterator[Busy]:
    store = MemoryStore()
    await store.open()
    scene = await open_scene(store)
    await scene.append(note("0"))
    busy = Busy(scene)
    await busy.begin()
    yield busy
    await store.close()


def _contents(frames: Sequence[TailFrame]) -> list[bytes]:
    batches = [frame for frame in frames if isinstance(frame, TailBatch)]
    return [record.event.item.content for batch in batches for record in batch.events if record.event.item]


async def test_what_is_there_still_is_shown(busy: Busy) -> None:
    assert _contents(await busy.rest()) == [SECRET]


async def test_what_was_removed_is_not_shown(busy: Busy) -> None:
    store, session = busy.scene.store, busy.scene.session
    await store.commit((await removal(store, session, ["a"]),))
    rest = await busy.rest()
    assert len(_contents(rest)) == 1
    assert SECRET not in _contents(rest)


async def test_nothing_is_shown_of_a_session_that_was_deleted(busy: Busy) -> None:
    await busy.scene.store.commit((DeleteSession(busy.scene.session),))
    (end,) = await busy.rest()
    assert isinstance(end, TailEnded)
    assert end.reason is EndReason.DELETED
