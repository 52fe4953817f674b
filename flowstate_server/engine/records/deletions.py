"""Deleting sessions."""

from __future__ import annotations

import logging

from flowstate_server.engine.bindings import Bindings, binding_of, check_binding
from flowstate_server.engine.calls.sessions import SessionDeletion
from flowstate_server.engine.records.resolved_sessions import held_by
from flowstate_server.errors import SessionNotFoundError, StoreUnavailableError
from flowstate_server.log_context import found
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.reads import SessionLife
from flowstate_server.stores.contract.writes import SessionChanged
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5

_logger = logging.getLogger(__name__)


class Deletions:
    """Deletes sessions, each in one commit. What they leave is swept later, by any server."""

    def __init__(self, store: Store, bindings: Bindings) -> None:
        self._store = store
        self._bindings = bindings

    async def delete(self, principal: Principal, deletion: SessionDeletion) -> None:
        """Delete a session of the caller's with everything in it.

        Raises:
            SessionNotFoundError: there is none for this caller, unless that is fine.
            VersionMismatchError: the precondition does not hold.
        """
        try:
            await self._delete(principal, deletion)
        except SessionNotFoundError:
            if not deletion.allow_missing:
                raise

    async def _delete(self, principal: Principal, deletion: SessionDeletion) -> None:
        key = SessionKey(principal.tenant, check_id("session_id", deletion.session_id))
        for _ in range(RACES):
            record = await self._store.get_session(key)
            if record is None or record.deleted:
                raise SessionNotFoundError(key.session_id)
            check_binding(principal, binding_of(record))
            found(record)
            try:
                held = await held_by(self._store, key, record.log_id)
                write = DeleteSession(key, record.log_id, deletion.precondition, held=held)
                await self._store.commit((write,))
            except SessionChanged:
                continue
            finally:
                self._bindings.forget(key)
            _logger.info("session %s is deleted", key.session_id)
            return
        raise StoreUnavailableError

    async def delete_idle(self, session: SessionLife, since: Micros) -> bool:
        """Delete this incarnation of a session if nothing has happened in it after ``since`` and no request is open;
        whether it was."""
        key, log_id = session.key, session.log_id
        # Sessions are resolved when callers make them, ephemeral ones are made by runs.
        held = None if session.ephemeral else await held_by(self._store, key, log_id)
        result = await self._store.commit((DeleteSession(key, log_id, idle_since=since, held=held),))
        self._bindings.forget(key)
        return result.results[0].changed
