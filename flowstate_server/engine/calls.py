"""What callers ask of the engine and what it answers; plain values between ``rpc`` and the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure, RequestRecord, SessionRecord, StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.state.operations import Operation
from flowstate_server.state.schema import StateSchema
from flowstate_server.stores.contract.writes import AtVersion, Exists, Precondition

__all__ = [
    "ActionCall",
    "ActiveRequest",
    "AtVersion",
    "CreatedSession",
    "Dispatched",
    "EventList",
    "Exists",
    "LogCursor",
    "NewSession",
    "Precondition",
    "ScopeProjection",
    "ScopeTarget",
    "Selector",
    "SessionPage",
    "SessionQuery",
    "SessionView",
    "Snapshot",
    "StateCommit",
    "StateCommitted",
    "StateMutation",
    "StateView",
    "TailBatch",
    "TailCall",
    "TailCaughtUp",
    "TailEnded",
    "TailFrame",
    "TailHeartbeat",
    "TailStarted",
    "TailTrimmed",
    "Waited",
]


@frozen
class ActionCall:
    """A call of an action with its fields as sent (empty where not sent); ``input`` is JSON text, unchecked.

    ``execution_timeout`` is in seconds.
    """

    flow_kind: str
    action: str
    input: bytes = b"null"
    session_id: str = ""
    user_id: str = ""
    org_id: str = ""
    request_id: str = ""
    execution_timeout: float | None = None


@frozen
class Dispatched:
    """The stored request; ``attached`` when the call repeated an earlier one and nothing was written."""

    request: RequestRecord
    attached: bool


@frozen
class Waited:
    request: RequestRecord
    done: bool


# --- sessions -----------------------------------------------------------------------------------------------------


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
class SessionView:
    record: SessionRecord
    activity_time: Micros


@frozen
class CreatedSession:
    """``session`` holds the id and version only when ``replayed``."""

    session: SessionView
    replayed: bool


@frozen
class SessionQuery:
    """Which sessions to list; empty parts do not filter. ``page_size`` as sent (0: default)."""

    flow_kind: str = ""
    user_id: str = ""
    include_ephemeral: bool = False
    page_size: int = 0
    page_token: str = ""


@frozen
class SessionPage:
    sessions: Sequence[SessionView]
    next_page_token: str


# --- snapshots ----------------------------------------------------------------------------------------------------


@frozen
class Selector:
    """Part of a snapshot: some names of a scope, or all of them when ``names`` is empty."""

    scope: ScopeKind
    names: tuple[str, ...] = ()


@frozen
class ScopeProjection:
    """What clients may see of a scope: values by name, and the failures of derived ones by name."""

    scope: ScopeKind
    version: int
    values: Mapping[str, Json]
    failures: Mapping[str, Failure] = field(default_factory=dict)


@frozen
class LogCursor:
    """A place in a log: everything up to ``sequence`` was seen. ``log_id`` names the log's incarnation."""

    log_id: str
    sequence: int


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


# --- state --------------------------------------------------------------------------------------------------------


@frozen
class ScopeTarget:
    """A scope as a caller names it: its kind and bare id, and the flow whose schema governs the write."""

    kind: ScopeKind
    id: str
    flow_kind: str = ""


@frozen
class StateMutation:
    target: ScopeTarget
    operations: tuple[Operation, ...]
    precondition: Precondition | None = None


@frozen
class StateCommit:
    """Mutations that are committed all or not at all. ``fingerprint`` is that of the message as sent."""

    mutations: tuple[StateMutation, ...]
    idempotency_key: str = ""
    fingerprint: str = ""
    request_id: str = ""


@frozen
class StateView:
    """A state record as callers see it; ``schema`` is that of the flow that governs it, if there is one."""

    target: ScopeTarget
    record: StateRecord
    schema: StateSchema | None
    changed: bool = False

    @property
    def state(self) -> JsonObject:
        """The state with the schema's defaults for what was never written."""
        state = self.record.state
        return state if self.schema is None else self.schema.with_defaults(state)

    @property
    def schema_hash(self) -> str:
        """Empty where no flow governs the record."""
        return "" if self.schema is None else self.schema.hash


@frozen
class StateCommitted:
    views: Sequence[StateView]
    replayed: bool


# --- tails --------------------------------------------------------------------------------------------------------


@frozen
class TailCall:
    """Which log to follow and from where: after ``cursor``, or only what is new (``latest``).

    ``heartbeat`` is in seconds (0: the default). ``replay_only`` ends after what is there.
    """

    request_id: str
    cursor: LogCursor = LogCursor("", 0)
    latest: bool = False
    heartbeat: float = 0.0
    replay_only: bool = False


@frozen
class TailStarted:
    cursor: LogCursor
    earliest: int
    latest: int
    heartbeat: float


@frozen
class TailBatch:
    """Events as the caller's plane may see them, at least one. ``after`` is the cursor before the batch."""

    cursor: LogCursor
    events: Sequence[EventRecord]
    after: int


@frozen
class TailTrimmed:
    """Transient events between ``first`` and ``last`` were swept before the caller came; the cursor has not moved."""

    cursor: LogCursor
    first: int
    last: int


@frozen
class TailCaughtUp:
    cursor: LogCursor


@frozen
class TailHeartbeat:
    cursor: LogCursor
    latest: int


@frozen
class TailEnded:
    """The log has ended (``terminal``), or a ``replay_only`` tail has shown what was there."""

    cursor: LogCursor
    final: int
    terminal: bool


TailFrame = TailStarted | TailBatch | TailTrimmed | TailCaughtUp | TailHeartbeat | TailEnded


@frozen
class EventList:
    events: Sequence[EventRecord]
    cursor: LogCursor
    end_of_log: bool
