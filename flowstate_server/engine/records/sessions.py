"""Creating, reading and listing sessions."""

from __future__ import annotations

from flowstate_server.engine.bindings import (
    OTHER_USER,
    Bindings,
    binding_of,
    check_binding,
    claimed_org,
    claimed_user,
)
from flowstate_server.engine.calls.sessions import (
    CreatedSession,
    NewSession,
    SessionAnswer,
    SessionPage,
    SessionQuery,
)
from flowstate_server.engine.drawn_fields import DrawnFields
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.engine.records.session_fields import check_session_fields
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    AccessDeniedError,
    PageTokenInvalidError,
    SessionNotFoundError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.log_context import found
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id, new_id, new_log_id
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import IdempotencyKey, SessionRecord
from flowstate_server.model.scopes import ScopeKind, SessionKey, session_scope
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.state.json_profile import parse_json
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.writes import CreateSession, PutIdempotencyKey, Write
from flowstate_server.stores.store import Store


class Sessions:
    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        bindings: Bindings,
        settings: EngineSettings,
        rehearsals: Rehearsals,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._settings = settings
        self._rehearsals = rehearsals
        self._tokens = PageTokens(settings.page_token_key)

    async def create(
        self, principal: Principal, new: NewSession, idempotency_key: str, fingerprint: str
    ) -> CreatedSession:
        """A new session, bound for life to its flow, user, tenant and org."""
        hosted = self._catalogue.get(new.flow_kind)
        user_id = claimed_user(principal, new.user_id)
        org_id = claimed_org(principal, new.org_id)
        check_id("session_id", new.session_id, required=False)
        metadata = _metadata(new.metadata)
        check_session_fields(
            {
                "title": new.title,
                "description": new.description,
                "tags": list(new.tags),
                "metadata": metadata,
            }
        )
        session = CreateSession(
            key=SessionKey(principal.tenant, new.session_id or new_id("sess_")),
            log_id=new_log_id(),
            flow_kind=hosted.described.kind,
            user_id=user_id,
            org_id=org_id,
            title=new.title,
            description=new.description,
            tags=new.tags,
            metadata=metadata,
            exclusive=True,
        )
        limit = self._settings.max_state_bytes
        drawn = DrawnFields(hosted, self._catalogue, limit, self._rehearsals)
        batch: list[Write] = [session, *drawn.writes({ScopeKind.SESSION: session_scope(session.key)})]
        if idempotency_key:
            check_id("idempotency_key", idempotency_key)
            key = IdempotencyKey(principal.tenant, principal.name, "CreateSession", idempotency_key)
            window = micros(self._settings.idempotency_window)
            batch.insert(0, PutIdempotencyKey(key, fingerprint, window))
        result = await drawn.commit(self._store, batch)
        created = result.results[batch.index(session)]
        if created.session is None:
            return CreatedSession(_remembered(principal, created.id, created.version), replayed=True)
        self._bindings.remember(binding_of(created.session))
        found(created.session)
        return CreatedSession(SessionAnswer(created.session, created.session.create_time), replayed=False)

    async def get(self, principal: Principal, session_id: str) -> SessionAnswer:
        key = SessionKey(principal.tenant, check_id("session_id", session_id))
        record = await self._store.get_session(key)
        if record is None or record.deleted:
            raise SessionNotFoundError(session_id)
        check_binding(principal, binding_of(record))
        found(record)
        return SessionAnswer(record, record.update_time)

    async def list(self, principal: Principal, query: SessionQuery) -> SessionPage:
        """Sessions of the caller's tenant (and user, when its credentials are bound to one), newest first."""
        which = self._filter(principal, query)
        size = page_size(query.page_size, self._settings)
        bound: Json = [
            "sessions",
            principal.tenant,
            which.flow_kind,
            which.user_id,
            which.org_id,
            which.include_ephemeral,
        ]
        after = self._position(bound, query.page_token) if query.page_token else None
        listed = await self._store.list_sessions(which, limit=size + 1, after=after)
        page = listed[:size]
        token = ""
        if len(listed) > size:
            last = page[-1].record
            token = self._tokens.make(bound, [last.create_time, last.key.session_id])
        return SessionPage([SessionAnswer(found.record, found.activity_time) for found in page], token)

    def _filter(self, principal: Principal, query: SessionQuery) -> SessionFilter:
        if principal.user and query.user_id and query.user_id != principal.user:
            raise AccessDeniedError(OTHER_USER)
        return SessionFilter(
            principal.tenant,
            flow_kind=query.flow_kind or None,
            user_id=query.user_id or principal.user or None,
            org_id=principal.org or None,
            include_ephemeral=query.include_ephemeral,
        )

    def _position(self, bound: Json, token: str) -> SessionPosition:
        match self._tokens.read(bound, token):
            case [int(create_time), str(session_id)]:
                return SessionPosition(Micros(create_time), session_id)
        raise PageTokenInvalidError


def _metadata(text: bytes) -> JsonObject:
    if not text:
        return {}
    value = parse_json(text, "session.metadata")
    if not isinstance(value, dict):
        raise ValidationFailedError((Violation("session.metadata", "object_type", "must be a JSON object"),))
    return value


def _remembered(principal: Principal, session_id: str, version: int) -> SessionAnswer:
    """What a replay tells: the id and version, nothing else."""
    record = SessionRecord(
        key=SessionKey(principal.tenant, session_id),
        log_id="",
        flow_kind="",
        user_id="",
        org_id="",
        ephemeral=False,
        create_time=Micros(0),
        update_time=Micros(0),
        version=version,
    )
    return SessionAnswer(record, Micros(0))
