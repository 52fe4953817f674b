"""What a store offers so that all it keeps can be copied elsewhere and checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from flowstate_server.model.events import EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey


@frozen
class StoredSession:
    """A session, or its tombstone, with its counters."""

    record: SessionRecord
    head: SessionHead

    @property
    def key(self) -> SessionKey:
        return self.record.key


class Exporting(ABC):
    """Everything a store keeps, over all tenants, in pages by key (code point order): each page begins after the last
    key of the one before, and an empty page is the end.

    A page has at most ``limit`` records and ends before their texts exceed ``max_bytes``, but has at least one record
    if there is any. A record that can't be understood raises
    :class:`~flowstate_server.stores.contract.pages.DamagedRecord` with its key (of an event: its ``session_sequence``).

    A store that has these beside those of :class:`~flowstate_server.stores.contract.store.Store` can be copied from
    and checked. What it reads is whole if nobody writes meanwhile.
    """

    @abstractmethod
    async def export_sessions(self, *, after: SessionKey | None, limit: int) -> Sequence[StoredSession]:
        """Sessions of all tenants by (tenant, id), tombstones too; of a session made anew only the present one."""

    @abstractmethod
    async def export_requests(
        self, *, after: RequestKey | None, limit: int, max_bytes: int
    ) -> Sequence[RequestRecord]:
        """Whole requests, inputs and outcomes included, by (tenant, request id); of a session made anew only those of
        the present one."""

    @abstractmethod
    async def export_events(
        self, session: SessionKey, log_id: str, *, after: int, limit: int, max_bytes: int
    ) -> Sequence[EventRecord]:
        """Events of the session's log, of its requests and outside them, by ``session_sequence``."""

    @abstractmethod
    async def export_states(
        self, *, after: ScopeKey | None, limit: int, max_bytes: int
    ) -> Sequence[StateRecord]:
        """State records of all scopes, tombstones too, by (kind, tenant, id, flow kind), the kinds in the order of
        :class:`~flowstate_server.model.scopes.ScopeKind`."""

    @abstractmethod
    async def export_idempotency_keys(
        self, *, after: IdempotencyKey | None, limit: int, max_bytes: int
    ) -> Sequence[IdempotencyRecord]:
        """Idempotency keys by (tenant, principal, method, key), expired ones too until they are swept."""

    @abstractmethod
    async def read_processes(self) -> Sequence[ProcessRecord]:
        """See :meth:`~flowstate_server.stores.contract.store.Store.read_processes`."""
