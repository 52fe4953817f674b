"""What checks need of an adapter beyond the contract, and what an adapter provides."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import SESSIONS, Table
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract import blobs, copies, exports, pieces, renewal
from flowstate_server.testing.store_contract.catalogue import Check, all_checks
from flowstate_server.testing.store_contract.harness import NotProvided, StoreHarness

Key = TypeVar("Key")


class Capability(StrEnum):
    """What an adapter may do without; it raises ``NotProvided`` where a check needs it."""

    HANDLES = "several handles at once"
    REOPENING = "data that outlives its handle"
    CRASHES = "crash points"
    DAMAGE = "damaged records"
    EXPORTS = "exports"
    BLOBS = "pieces of blobs"
    RENEWAL = "leases renewed from a thread"


Provided = Mapping[Capability, str]
"""Why each capability is not provided; empty: it is."""


async def needs_of_checks() -> dict[Check, frozenset[Capability]]:
    """What each check needs, found by running it on a store in memory that pretends to have everything."""
    return {check: await _needs_of(check) for check in all_checks()}


async def provided_by(harness: StoreHarness) -> Provided:
    """What an adapter provides, found by asking its harness, which must be a fresh one."""
    async with harness:
        store = await harness.open()
        return {
            Capability.EXPORTS: "the store does not export" if store.exports is None else "",
            Capability.BLOBS: "the store keeps no blobs" if store.pieces is None else "",
            Capability.RENEWAL: "leases are renewed by commits alone" if store.renewal is None else "",
            Capability.HANDLES: await _handles(harness),
            Capability.CRASHES: _crashes(harness, store),
            Capability.DAMAGE: await _damage(harness, store),
            Capability.REOPENING: await _reopening(harness, store),
        }


async def _handles(harness: StoreHarness) -> str:
    try:
        await harness.open()
    except NotProvided as reason:
        return str(reason)
    return ""


def _crashes(harness: StoreHarness, store: Store) -> str:
    try:
        harness.crash_after(store, _FAR)
    except NotProvided as reason:
        return str(reason)
    return ""


async def _damage(harness: StoreHarness, store: Store) -> str:
    try:
        await harness.damage(store, SESSIONS, SessionKey(NO_TENANT, "nobody"))
    except NotProvided as reason:
        return str(reason)
    return ""


async def _reopening(harness: StoreHarness, store: Store) -> str:
    try:
        await harness.reopen(store)
    except NotProvided as reason:
        return str(reason)
    return ""


_FAR = 1_000_000_000
"""Statements after which nothing has crashed yet."""


_PRETENDED = {Capability.CRASHES, Capability.DAMAGE}
"""What the probe has in name only, so that a check of it fails."""

_NEEDED = {
    exports.__name__: Capability.EXPORTS,
    copies.__name__: Capability.EXPORTS,
    pieces.__name__: Capability.BLOBS,
    blobs.__name__: Capability.BLOBS,
    renewal.__name__: Capability.RENEWAL,
}


async def _needs_of(check: Check) -> frozenset[Capability]:
    async with _Probe() as probe:
        if check.__module__ in _NEEDED:
            probe.needs.add(_NEEDED[check.__module__])
        try:
            await check(probe)
        except AssertionError:
            if (
                not probe.needs & _PRETENDED
            ):  # what was to crash here went on, what was to be damaged is whole
                raise
    return frozenset(probe.needs)


class _Probe(StoreHarness):
    """Every handle is the same store, and nothing ever crashes."""

    persistent = True
    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.needs: set[Capability] = set()
        self._store = MemoryStore()

    def make(self) -> Store:
        if self._open:
            self.needs.add(Capability.HANDLES)
        return self._store

    def crash_after(self, store: Store, statements: int) -> None:
        self.needs.add(Capability.CRASHES)

    async def damage(self, store: Store, table: Table[Key, Any], key: Key) -> None:
        self.needs.add(Capability.DAMAGE)

    async def reopen(self, store: Store) -> Store:
        self.needs.add(Capability.REOPENING)
        return await super().reopen(store)
