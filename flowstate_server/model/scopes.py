"""Scopes and the keys of their records."""

from __future__ import annotations

from typing import NamedTuple

from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.word import Word


class ScopeKind(Word):
    REQUEST = "request"
    SESSION = "session"
    USER = "user"
    ORG = "org"
    BLOCK = "block"
    """One execution of a block; there is no record of it."""


RECORD_SCOPES = (ScopeKind.REQUEST, ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG)
"""Those that a store keeps records of."""


class SessionKey(NamedTuple):
    tenant: Tenant
    session_id: str


class RequestKey(NamedTuple):
    tenant: Tenant
    request_id: str


LogKey = RequestKey | SessionKey
"""Names a log: that of a request, or that of a session, in which all its requests' events are too."""


class ScopeKey(NamedTuple):
    """Names one state record. Make it with the functions below: they fill the parts that a scope does not use.

    ``tenant`` is empty for user and org records (tenants share them on purpose), ``flow_kind`` is empty unless the
    record is a flow's isolated one. Keys compare by their parts, so no two can be made to collide.
    """

    kind: ScopeKind
    tenant: Tenant
    id: str
    flow_kind: str = ""


def request_scope(request: RequestKey) -> ScopeKey:
    return ScopeKey(ScopeKind.REQUEST, request.tenant, request.request_id)


def session_scope(session: SessionKey) -> ScopeKey:
    return ScopeKey(ScopeKind.SESSION, session.tenant, session.session_id)


def user_scope(user_id: str, *, isolated_flow: str = "") -> ScopeKey:
    return ScopeKey(ScopeKind.USER, NO_TENANT, user_id, isolated_flow)


def org_scope(org_id: str, *, isolated_flow: str = "") -> ScopeKey:
    return ScopeKey(ScopeKind.ORG, NO_TENANT, org_id, isolated_flow)
