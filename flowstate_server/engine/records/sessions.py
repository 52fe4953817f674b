"""Creating, reading and listing sessions."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.bindings import OTHER_USER, Bindings, binding_of, check_binding, claimed_org
from flowstate_server.engine.calls.sessions import (
    CreatedSession,
    NewSession,
    SessionAnswer,
    SessionPage,
    SessionQuery,
)
from flowstate_server.engine.records.new_sessions import NewSessions
from flowstate_server.engine.records.page_token import PageTokens, page_size
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
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.records import IdempotencyKey, SessionRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.session_labels import labels
from flowstate_server.stores.contract.reads import ListedSession, SessionFilter, SessionPosition, position_of
from flowstate_server.stores.contract.writes import PutIdempotencyKey, Write
from flowstate_server.stores.store import Store

# Each is asked of every row that a list looks through.
MAX_LABELS = 64


class Sessions:
    def __init__(
        self,
        store: Store,
        bindings: Bindings,
        new_sessions: NewSessions,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._bindings = bindings
        self._new_sessions = new_sessions
        self._settings = settings
        self._tokens = PageTokens(settings.page_token_key)

    async def create(
        self, principal: Principal, new: NewSession, idempotency_key: str, fingerprint: str
    ) -> CreatedSession:
        """A new session, bound for life to its flow, user, tenant and org."""
        prepared = await self._new_sessions.prepared(principal, new)
        before: tuple[Write, ...] = ()
        if idempotency_key:
            check_id("idempotency_key", idempotency_key)
            key = IdempotencyKey(principal.tenant, principal.key, "CreateSession", idempotency_key)
            before = (PutIdempotencyKey(key, fingerprint, micros(self._settings.idempotency_window)),)
        result = await prepared.commit(self._store, before=before)
        created = result.results[len(before)]
        if created.session is None:
            return CreatedSession(remembered_session(principal, created.id, created.version), replayed=True)
        self._bindings.remember(binding_of(created.session))
        found(created.session)
        return CreatedSession(SessionAnswer(created.session, created.session.create_time), replayed=False)

    async def get(self, principal: Principal, session_id: str) -> SessionAnswer:
        key = SessionKey(principal.tenant, check_id("session_id", session_id))
        read = await self._store.read_projection(key, ())
        if read is None:
            raise SessionNotFoundError(session_id)
        check_binding(principal, binding_of(read.session))
        found(read.session)
        return SessionAnswer(read.session, read.head.activity_time)

    async def list(self, principal: Principal, query: SessionQuery) -> SessionPage:
        """Sessions of the caller's tenant (and user, when its credentials are bound to one), newest first."""
        which = _filter(principal, query)
        size = page_size(query.page_size, self._settings)
        bound: Json = [
            "sessions",
            principal.tenant,
            which.flow_kind,
            which.user_id,
            which.org_id,
            which.include_ephemeral,
            [label.hex() for label in which.labels],
            which.active_after,
        ]
        after = self._position(bound, query.page_token) if query.page_token else None
        listed = await self._store.list_sessions(which, limit=size, after=after)
        total = await self._store.count_sessions(which) if query.include_total else None
        page = _within(listed.sessions, self._settings.max_page_bytes)
        position = listed.next if len(page) == len(listed.sessions) else position_of(page[-1].record)
        token = ""
        if position is not None:
            token = self._tokens.make(bound, [position.create_time, position.session_id])
        answers = [SessionAnswer(one.record, one.activity_time) for one in page]
        return SessionPage(answers, token, total)

    def _position(self, bound: Json, token: str) -> SessionPosition:
        match self._tokens.read(bound, token):
            case [int(create_time), str(session_id)]:
                return SessionPosition(Micros(create_time), session_id)
        raise PageTokenInvalidError


def remembered_session(principal: Principal, session_id: str, version: int) -> SessionAnswer:
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


def _filter(principal: Principal, query: SessionQuery) -> SessionFilter:
    if principal.user and query.user_id and query.user_id != principal.user:
        raise AccessDeniedError(OTHER_USER)
    if len(query.tags) + len(query.metadata) > MAX_LABELS:
        problem = f"must be at most {MAX_LABELS}, together with the keys of metadata"
        raise ValidationFailedError((Violation("tags", "too_many", problem),))
    for place, tag in enumerate(query.tags):
        check_id(f"tags[{place}]", tag)
    return SessionFilter(
        principal.tenant,
        flow_kind=query.flow_kind or None,
        user_id=query.user_id or principal.user or None,
        org_id=claimed_org(principal, query.org_id) or None,
        include_ephemeral=query.include_ephemeral,
        labels=tuple(sorted(labels(query.tags, query.metadata))),
        active_after=query.active_after,
    )


def _within(listed: Sequence[ListedSession], max_bytes: int) -> Sequence[ListedSession]:
    """The first sessions, as many as a page has room for, but at least one if there is any."""
    size = 0
    for place, one in enumerate(listed):
        session = one.record
        size += len(encode_json([session.title, session.description, list(session.tags), session.metadata]))
        if place and size > max_bytes:
            return listed[:place]
    return listed
