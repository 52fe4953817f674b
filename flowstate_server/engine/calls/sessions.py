"""Sessions, their lists and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure, SessionRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.stores.contract.writes import Precondition


@frozen
class NewSession:
    """A session to create; ``metadata`` is JSON text, unchecked (empty: none)."""

    flow_kind: str
    session_id: str = ""
    user_id: str = ""
    org_id: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: bytes = b""


@frozen
class SessionAnswer:
    record: SessionRecord
    activity_time: Micros


@frozen
class CreatedSession:
    """``session`` holds the id and version only when ``replayed``."""

    session: SessionAnswer
    replayed: bool


@frozen
class ResolvedSession:
    """``created`` by the call that it answers."""

    session: SessionAnswer
    created: bool


@frozen
class SessionUpdate:
    """New values of some fields of a session, by name. ``fingerprint`` is that of the message as sent."""

    session_id: str
    fields: JsonObject
    precondition: Precondition | None = None
    idempotency_key: str = ""
    fingerprint: str = ""


@frozen
class UpdatedSession:
    """``session`` holds the id and version only when ``replayed``."""

    session: SessionAnswer
    replayed: bool


@frozen
class SessionDeletion:
    """With ``allow_missing`` a session that is not there is fine."""

    session_id: str
    precondition: Precondition | None = None
    allow_missing: bool = False


@frozen
class SessionQuery:
    """Which sessions to list; empty parts do not filter. ``page_size`` as sent (0: default)."""

    flow_kind: str = ""
    user_id: str = ""
    org_id: str = ""
    tags: Sequence[str] = ()
    metadata: JsonObject = field(default_factory=dict)
    active_after: Micros | None = None
    include_ephemeral: bool = False
    include_total: bool = False
    page_size: int = 0
    page_token: str = ""


@frozen
class SessionPage:
    sessions: Sequence[SessionAnswer]
    next_page_token: str
    total: int | None = None


@frozen
class Selector:
    """Part of a snapshot: some names of a scope, or all of them when ``names`` is empty."""

    scope: ScopeKind
    names: tuple[str, ...] = ()


@frozen
class ScopeProjection:
    """What clients may see of a scope: values by name, the failures of those that have none, and the versions of the
    resources among them."""

    scope: ScopeKind
    version: int
    values: Mapping[str, Json]
    failures: Mapping[str, Failure] = field(default_factory=dict)
    resource_versions: Mapping[str, int] = field(default_factory=dict)


@frozen
class ActiveRequest:
    request_id: str
    cursor: LogCursor


@frozen
class Snapshot:
    session_id: str
    scopes: Sequence[ScopeProjection]
    active: Sequence[ActiveRequest]
    cursor: LogCursor
    time: Micros
