"""Sessions that are found by the metadata that they were resolved with, or made with it."""

from __future__ import annotations

from flowstate_server.engine.bindings import Bindings, binding_of
from flowstate_server.engine.calls.sessions import NewSession, ResolvedSession, SessionAnswer
from flowstate_server.engine.records.new_sessions import NewSessions, PreparedSession
from flowstate_server.errors import (
    OrgBindingMismatchError,
    SessionNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.log_context import found
from flowstate_server.model.clock import micros
from flowstate_server.model.documents import Document
from flowstate_server.model.identity import Principal
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import SessionRecord
from flowstate_server.model.resolve_keys import (
    ResolveKey,
    decode_held,
    decode_resolved,
    held_document,
    resolve_key,
    resolved_document,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey, ResolveKeyTaken
from flowstate_server.stores.contract.writes import CreateSession, RequireSession, SessionChanged
from flowstate_server.stores.store import Store

# Attempts. One is lost only to whoever resolves, moves or deletes the same session at that moment, and finds it next.
RACES = 10
# How often at most it is noted in the lifetime of a session that it is found.
PARTS_OF_LIFETIME = 20


class ResolvedSessions:
    def __init__(self, store: Store, bindings: Bindings, new_sessions: NewSessions) -> None:
        self._store = store
        self._bindings = bindings
        self._new_sessions = new_sessions

    async def resolve(self, principal: Principal, new: NewSession) -> ResolvedSession:
        """The session that an earlier call has resolved by the same flow, user and metadata, or a new one."""
        if new.session_id:
            raise ValidationFailedError((Violation("session_id", "must_be_empty", "must be empty"),))
        prepared = await self._new_sessions.prepared(principal, new)
        creation = prepared.creation
        key = resolve_key(principal.tenant, creation.flow_kind, creation.user_id, creation.metadata)
        for _ in range(RACES):
            document, holder = await holder_of(self._store, key)
            if holder is not None:
                _check_org(principal, creation, holder.session)
                found(holder.session)
                try:
                    return ResolvedSession(await self._used(holder, prepared), created=False)
                except (SessionChanged, SessionNotFoundError):
                    continue
            stale = "" if document is None else document.incarnation
            hold = HoldResolveKey(creation.key, creation.log_id, key, stale=stale)
            try:
                result = await prepared.commit(self._store, after=(hold,))
            except ResolveKeyTaken:
                continue
            created = result.results[0].session
            assert created is not None
            self._bindings.remember(binding_of(created))
            found(created)
            return ResolvedSession(SessionAnswer(created, created.create_time), created=True)
        raise StoreUnavailableError

    async def _used(self, holder: Projection, prepared: PreparedSession) -> SessionAnswer:
        """That a session is found is activity in it. So that not every call writes, it is noted no more often than is
        needed for the session not to be deleted as idle.

        Raises:
            SessionChanged, SessionNotFoundError: it was deleted just now.
        """
        session, lifetime = holder.session, prepared.lifetime(ephemeral=holder.session.ephemeral)
        time = holder.head.activity_time
        if lifetime is not None and holder.time - time > micros(lifetime) // PARTS_OF_LIFETIME:
            time = (
                await self._store.commit((RequireSession(session.key, session.log_id, active=True),))
            ).time
        return SessionAnswer(session, time)


async def holder_of(store: Store, key: ResolveKey) -> tuple[Document | None, Projection | None]:
    """The key's document, and what it names, if that session lives and is resolved by the key."""
    place = resolved_document(key)
    document = (await store.load_documents((place,))).get(place)
    if document is None:
        return None, None
    session, log_id = decode_resolved(document)
    held = held_document(session, log_id)
    read = await store.read_projection(session, (), (held,))
    if read is None or read.session.log_id != log_id or decode_held(read.documents.get(held)) != key:
        return document, None
    return document, read


async def held_by(store: Store, session: SessionKey, log_id: str) -> ResolveKey | None:
    """The key that a session is resolved by, if there is one."""
    place = held_document(session, log_id)
    return decode_held((await store.load_documents((place,))).get(place))


def moved_key(held: ResolveKey, metadata: JsonObject) -> ResolveKey:
    """The key of a session that has other metadata from now on."""
    return resolve_key(held.tenant, held.flow_kind, held.user_id, metadata)


def _check_org(principal: Principal, creation: CreateSession, record: SessionRecord) -> None:
    if creation.org_id and creation.org_id != record.org_id:
        # Whoever has no right to the session learns no more of it.
        raise OrgBindingMismatchError(record.key.session_id if principal.user else "")
