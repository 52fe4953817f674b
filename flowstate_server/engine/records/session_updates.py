"""Changes of a session's own fields by callers."""

from __future__ import annotations

from flowstate_server.engine.bindings import Binding, Bindings
from flowstate_server.engine.calls.sessions import SessionAnswer, SessionUpdate, UpdatedSession
from flowstate_server.engine.records.resolved_sessions import RACES, held_by, holder_of, moved_key
from flowstate_server.engine.records.session_fields import check_session_fields
from flowstate_server.engine.records.sessions import remembered_session
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import SessionAlreadyExistsError, StoreUnavailableError
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey, ResolveKeyTaken
from flowstate_server.stores.contract.writes import (
    PutIdempotencyKey,
    RequireSession,
    SessionChanged,
    UpdateSession,
    Write,
)
from flowstate_server.stores.store import Store


class SessionUpdates:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings

    async def update(self, principal: Principal, update: SessionUpdate) -> UpdatedSession:
        """Change the named fields of the newest record. New metadata move the key of a session that was resolved."""
        remembered = self._remembered(principal, update)
        check_session_fields(update.fields)
        stale = ""
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, update.session_id)
            change = UpdateSession(binding.key, update.fields, precondition=update.precondition)
            move = await self._move(binding, update.fields, stale)
            batch: list[Write] = [*remembered, RequireSession(binding.key, binding.log_id), change]
            if move is not None:
                batch.append(move)
            try:
                result = await self._store.commit(tuple(batch))
            except SessionChanged:
                self._bindings.forget(binding.key)
            except ResolveKeyTaken:
                assert move is not None
                stale = await self._stale_document(principal, move)
            else:
                written = result.results[batch.index(change)]
                if written.session is None:
                    known = remembered_session(principal, written.id, written.version)
                    return UpdatedSession(known, replayed=True)
                time = result.time if written.changed else await self._activity_time(binding.key)
                return UpdatedSession(SessionAnswer(written.session, time), replayed=False)
        raise StoreUnavailableError

    async def _activity_time(self, session: SessionKey) -> Micros:
        read = await self._store.read_projection(session, ())
        return Micros(0) if read is None else read.head.activity_time

    def _remembered(self, principal: Principal, update: SessionUpdate) -> tuple[Write, ...]:
        check_id("idempotency_key", update.idempotency_key, required=False)
        if not update.idempotency_key:
            return ()
        key = IdempotencyKey(principal.tenant, principal.key, "UpdateSession", update.idempotency_key)
        return (PutIdempotencyKey(key, update.fingerprint, micros(self._settings.idempotency_window)),)

    async def _move(self, binding: Binding, fields: JsonObject, stale: str) -> HoldResolveKey | None:
        metadata = fields.get("metadata")
        if not isinstance(metadata, dict):
            return None
        held = await held_by(self._store, binding.key, binding.log_id)
        if held is None:  # nor will it be: only a new session begins to be resolved
            return None
        return HoldResolveKey(binding.key, binding.log_id, moved_key(held, metadata), held, stale)

    async def _stale_document(self, principal: Principal, move: HoldResolveKey) -> str:
        """The incarnation of the key's document if the session that it names is not resolved by it, else empty.

        Raises:
            SessionAlreadyExistsError: it is.
        """
        assert move.key is not None
        document, holder = await holder_of(self._store, move.key)
        if holder is not None:
            shown = principal.org in ("", holder.session.org_id)
            raise SessionAlreadyExistsError(holder.session.key.session_id if shown else "", resolved=True)
        return "" if document is None else document.incarnation
