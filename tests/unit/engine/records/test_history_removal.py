"""What goes of random histories, whatever the steps in which it goes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flowstate_server.engine.records import history_removal
from flowstate_server.engine.records.history_removal import HistoryRemoval
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.records import RequestStatus, TurnKey, TurnRecord
from flowstate_server.model.removals import ItemKey, ItemRemoval
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.programs.keeping import Retention
from flowstate_server.stores.contract.item_writes import RemoveItems
from flowstate_server.stores.contract.tables import SESSION_HEADS, TURNS
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    events_of,
    item_done,
    note,
    open_scene,
    take_over,
)

KEY = SessionKey(NO_TENANT, "session-1")
LOG = "log-session-1"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"REQUESTS": 3, "TURNS": 4, "EVENTS": 5}.items():
        assert hasattr(history_removal, name)
        monkeypatch.setattr(history_removal, name, size)


@dataclass
class History:
    """``ends`` are requests by where they ended, ``turns`` where each turn ended."""

    open: list[Scene] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)


async def _head(store: Store) -> tuple[int, int]:
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    return projection.head.sequence, projection.head.floor


async def _random(store: Store, seed: int) -> History:
    chance = random.Random(seed)
    history = History()
    for number in range(30):
        match chance.choice(["begin", "begin", "end", "end", "end", "fail", "outside", "turn"]):
            case "begin":
                history.open.append(await open_scene(store, request_id=f"request-{number}"))
                await history.open[-1].append(note(), note(transient=True), item_done(f"item-{number}"))
            case "end" | "fail" as how if history.open:
                scene = history.open.pop(chance.randrange(len(history.open)))
                await scene.finish(RequestStatus.COMPLETED if how == "end" else RequestStatus.FAILED)
                sequence, _ = await _head(store)
                history.ends[scene.request.request_id] = sequence
                if how == "end":
                    history.turns.append(sequence)
            case "outside":
                await open_scene(store, request_id=f"opener-{number}")
                await store.commit((AppendEvents(KEY, (note("outside"),)),))
            case "turn" if await store.get_session(KEY) is not None:
                await _append_turn(store, history)
    return history


async def _append_turn(store: Store, history: History) -> None:
    """A turn from outside, as a service appends it."""
    before, _ = await _head(store)
    await store.commit((AppendEvents(KEY, (item_done("a"), item_done("b", 1))),))
    history.turns.append(before + 2)
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    number = projection.head.turns + 1
    await take_over(store, TURNS, (TurnRecord(TurnKey(KEY, LOG, number), "", before + 1, before + 2),))
    await take_over(store, SESSION_HEADS, (replace(projection.head, turns=number),))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kept", [1, 4])
async def test_the_newest_turns_stay_and_what_ended_before_goes(seed: int, kept: int) -> None:
    store = MemoryStore()
    await store.open()
    history = await _random(store, seed)
    if await store.get_session(KEY) is None:
        return
    cut = history.turns[-kept - 1] if len(history.turns) > kept else 0
    await _remove(store, Retention(max_turns=kept))
    assert (await store.read_oldest_turns(KEY, LOG, limit=100)).count == min(kept, len(history.turns))
    await _is_cut_at(store, history, cut)
    assert await _remove(store, Retention(max_turns=kept)) == 0


@pytest.mark.parametrize("seed", range(10))
async def test_all_that_ended_is_too_old(seed: int) -> None:
    store = MemoryStore()
    await store.open()
    history = await _random(store, seed)
    if await store.get_session(KEY) is None:
        return
    sequence, _ = await _head(store)
    assert await _remove(store, Retention(max_age=1e-6)) == len(history.ends)
    assert (await store.read_oldest_turns(KEY, LOG, limit=100)).count == 0
    await _is_cut_at(store, history, sequence)


class _Meanwhile:
    """A store in which something happens once, between the read called ``behind`` and the next."""

    def __init__(self, store: Store, behind: str, happens: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._behind = behind
        self._happens: Callable[[], Awaitable[object]] | None = happens

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._read(method) if name == self._behind else method

    def _read(self, method: Any) -> Any:
        async def read(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            if self._happens is not None:
                happens, self._happens = self._happens, None
                await happens()
            return result

        return read


@pytest.mark.parametrize("behind", ["load_documents", "read_oldest_turns", "read_events"])
@pytest.mark.parametrize("rule", [Retention(max_turns=5), Retention(max_turns=5, max_age=3600)])
async def test_two_servers_remove_no_more_than_one(behind: str, rule: Retention) -> None:
    store = await _turns(9)
    other = _Meanwhile(store, behind, lambda: _remove(store, rule))
    await _remove(other, rule)
    assert await _kept(store) == [f"request-{number}" for number in range(4, 9)]


@pytest.mark.parametrize("behind", ["load_documents", "read_oldest_turns", "read_events"])
async def test_turns_that_lose_their_items_meanwhile_are_counted_no_more(behind: str) -> None:
    store = await _turns(9)
    await _remove(_Meanwhile(store, behind, lambda: _empty_turn(store, 9)), Retention(max_turns=5))
    await _remove(store, Retention(max_turns=5))
    assert await _kept(store) == [f"request-{number}" for number in range(3, 8)]


async def test_turns_that_come_meanwhile_are_not_taken_for_none() -> None:
    store = await _turns(3)

    async def another() -> None:
        scene = await open_scene(store, request_id="request-3")
        await scene.append(item_done("item-3"))
        await scene.finish()

    await _remove(_Meanwhile(store, "read_oldest_turns", another), Retention(max_age=1e-6))
    assert await _kept(store) == ["request-3"]
    await _remove(store, Retention(max_age=1e-6))
    assert (await store.read_oldest_turns(KEY, LOG, limit=9)).count == 0


async def test_requests_that_failed_go_with_the_turn_that_ends_after_them() -> None:
    store = await _turns(1)
    for number in range(10):
        scene = await open_scene(store, request_id=f"failed-{number}")
        await scene.finish(RequestStatus.FAILED)
    for number in (1, 2):
        scene = await open_scene(store, request_id=f"request-{number}")
        await scene.finish()
    assert await _remove(store, Retention(max_turns=1)) == 12
    assert await _kept(store) == ["request-2"]


async def _turns(count: int) -> Store:
    store = MemoryStore()
    await store.open()
    for number in range(count):
        scene = await open_scene(store, request_id=f"request-{number}")
        await scene.append(note(), item_done(f"item-{number}"))
        await scene.finish()
    return store


async def _kept(store: Store) -> list[str]:
    """The requests of the turns that are left, all of which are there whole."""
    turns = (await store.read_oldest_turns(KEY, LOG, limit=100)).turns
    for turn in turns:
        assert await store.get_request(RequestKey(NO_TENANT, turn.request_id)) is not None
    return [turn.request_id for turn in turns]


async def _empty_turn(store: Store, number: int) -> None:
    item = ItemRemoval(ItemKey(KEY, LOG, 3 * number - 1), f"item-{number - 1}", FOR_CLIENTS)
    await store.commit((RemoveItems(KEY, LOG, (item,), 0, (TurnKey(KEY, LOG, number),)),))


async def _remove(store: Any, rule: Retention) -> int:
    [life] = (await store.walk_sessions(after=None, limit=10)).sessions
    return await HistoryRemoval(store).remove(life, rule, Micros(await store.time() + 1_000_000))


async def _is_cut_at(store: Store, history: History, cut: int) -> None:
    """What ended up to there is gone whole, all else is there whole."""
    for request_id, end in history.ends.items():
        key = RequestKey(NO_TENANT, request_id)
        assert (await store.get_request(key) is None) == (end <= cut), request_id
        if end > cut:
            assert len(await events_of(store, key)) == 4
    for scene in history.open:
        assert len(await events_of(store, scene.request)) == 3
    _, floor = await _head(store)
    assert floor <= cut
    outside = [event.session_sequence for event in await events_of(store, KEY) if not event.request_id]
    assert all(place > floor for place in outside)
