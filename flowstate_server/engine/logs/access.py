"""Who may read a log, and what of it."""

from __future__ import annotations

from flowstate_server.engine.bindings import binding_of, check_binding, check_owner
from flowstate_server.engine.calls.logs import EventFilter
from flowstate_server.engine.logs.projection import EventProjector
from flowstate_server.engine.logs.shared_reads import SharedReads
from flowstate_server.errors import (
    EventsCompactedError,
    RequestNotFoundError,
    ServiceError,
    SessionNotFoundError,
)
from flowstate_server.log_context import found
from flowstate_server.model.events import LogHead
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import LogKey, RequestKey, SessionKey
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.store import Store


def log_of(principal: Principal, request_id: str, session_id: str) -> LogKey:
    """The log that is meant: the one of a session, if that is named."""
    if session_id:
        return SessionKey(principal.tenant, check_id("session_id", session_id))
    return RequestKey(principal.tenant, check_id("request_id", request_id))


class LogAccess:
    """Shows a log that was read to whom it belongs; to anyone else there is none."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sessions = SharedReads(store.get_session)
        self._requests = SharedReads(store.get_request)

    async def projector(
        self, principal: Principal, key: LogKey, log: LogHead, filter: EventFilter
    ) -> EventProjector:
        """What shows the events of the log whose head was read.

        Raises:
            SessionNotFoundError, RequestNotFoundError: it is not the caller's, or not there any more.
        """
        kind = (
            await self._flow_of_session(principal, key, log)
            if isinstance(key, SessionKey)
            else await self._flow_of_request(principal, key, log)
        )
        flow = self._catalogue.find(kind)
        return EventProjector(principal.plane, None if flow is None else flow.described, filter)

    async def absent(self, principal: Principal, key: LogKey) -> ServiceError:
        """Why there is no such log. Of one that retention has removed its owner may know that there was one."""
        if isinstance(key, SessionKey):
            return SessionNotFoundError(key.session_id)
        record = await self._store.get_removed_request(key)
        if record is None:
            return RequestNotFoundError(key.request_id)
        try:
            check_owner(principal, record.head, record.org_id)
        except ServiceError as refusal:
            return refusal
        return EventsCompactedError(record.head.sequence + 1, record.head.sequence)

    async def _flow_of_session(self, principal: Principal, key: SessionKey, log: LogHead) -> str:
        record = await self._sessions.read(key)
        if record is None or record.deleted or record.log_id != log.log_id:
            raise SessionNotFoundError(key.session_id)
        check_binding(principal, binding_of(record))
        found(record)
        return record.flow_kind

    async def _flow_of_request(self, principal: Principal, key: RequestKey, log: LogHead) -> str:
        record = await self._requests.read(key)
        if record is None or record.head.log_id != log.log_id:
            raise RequestNotFoundError(key.request_id)
        check_owner(principal, record.head, record.org_id)
        found(record)
        return record.flow_kind
