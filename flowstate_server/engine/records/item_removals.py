"""Removing items of ended requests and of turns from outside."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from flowstate_server.engine.bindings import Binding, Bindings
from flowstate_server.engine.calls.items import ItemRemovalCall, ItemsRemoved
from flowstate_server.engine.records.removal_reading import RemovalReading
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StoreUnavailableError, ValidationFailedError, Violation
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.item_writes import ItemsChanged, RemoveItems
from flowstate_server.stores.contract.writes import PutIdempotencyKey, SessionChanged, Write
from flowstate_server.stores.store import Store

# Attempts. Each is lost to another server that has just removed items of the same session.
RACES = 10


class ItemRemovals:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings
        self._locks: WeakValueDictionary[SessionKey, asyncio.Lock] = WeakValueDictionary()

    async def remove(self, principal: Principal, call: ItemRemovalCall) -> ItemsRemoved:
        """All items that the call names, or none. Those that are removed already are passed over."""
        self._check(call)
        key = self._key(principal, call)
        lock = self._locks.setdefault(SessionKey(principal.tenant, call.session_id), asyncio.Lock())
        async with lock:
            for _ in range(RACES):
                binding = await self._bindings.owned(principal, call.session_id)
                try:
                    return await self._remove(binding, call, key)
                except SessionChanged:
                    self._bindings.forget(binding.key)
                except ItemsChanged:
                    pass
        raise StoreUnavailableError

    async def _remove(
        self, binding: Binding, call: ItemRemovalCall, key: IdempotencyKey | None
    ) -> ItemsRemoved:
        remembered: tuple[Write, ...] = ()
        if key is not None:
            # Ahead of all else: what the first call found may be found no more.
            seen = await self._store.commit((PutIdempotencyKey(key, call.fingerprint, Micros(0)),))
            if seen.replayed:
                return ItemsRemoved(seen.results[-1].ids, replayed=True)
            window = micros(self._settings.idempotency_window)
            remembered = (PutIdempotencyKey(key, call.fingerprint, window),)
        reading = RemovalReading(self._store, binding, self._settings)
        write: RemoveItems = await reading.write(call)
        if not write.items and key is None:
            return ItemsRemoved((), replayed=False)
        result = await self._store.commit((*remembered, write))
        return ItemsRemoved(result.results[-1].ids, result.replayed)

    def _check(self, call: ItemRemovalCall) -> None:
        check_id("session_id", call.session_id)
        check_id("idempotency_key", call.idempotency_key, required=False)
        most = self._settings.max_page_size
        if call.ids is not None:
            _check_count("ids.item_ids", len(call.ids), most)
            for place, item_id in enumerate(call.ids):
                check_id(f"ids.item_ids[{place}]", item_id)
        elif call.newest is not None:
            _check_count("newest", call.newest, most)
        elif call.after is not None:
            check_id("after_item_id", call.after)
        else:
            raise _violation("which", "required", "must be set: ids, newest or after_item_id")

    def _key(self, principal: Principal, call: ItemRemovalCall) -> IdempotencyKey | None:
        if not call.idempotency_key:
            return None
        return IdempotencyKey(principal.tenant, principal.key, "RemoveItems", call.idempotency_key)


def _check_count(path: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise _violation(path, "range", f"must be 1 to {most}")


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
