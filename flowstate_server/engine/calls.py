"""What callers ask of the engine and what it answers; plain values between ``rpc`` and the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The stored request; ``attached`` when the call repeated an earlier one and nothing was written."""

    request: RequestRecord
    attached: bool


@dataclass(frozen=True, slots=True)
class Waited:
    request: RequestRecord
    done: bool


# --- sessions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class SessionView:
    record: SessionRecord
    activity_time: Micros


@dataclass(frozen=True, slots=True)
class CreatedSession:
    """``session`` holds the id and version only when ``replayed``."""

    session: SessionView
    replayed: bool


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """Which sessions to list; empty parts do not filter. ``page_size`` as sent (0: default)."""

    flow_kind: str = ""
    user_id: str = ""
    include_ephemeral: bool = False
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class SessionPage:
    sessions: Sequence[SessionView]
    next_page_token: str


# --- snapshots ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selector:
    """Part of a snapshot: some names of a scope, or all of them when ``names`` is empty."""

    scope: ScopeKind
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScopeProjection:
    """What clients may see of a scope: values by name, and the failures of derived ones by name."""

    scope: ScopeKind
    version: int
    values: Mapping[str, Json]
    failures: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogCursor:
    """A place in a log: everything up to ``sequence`` was seen. ``log_id`` names the log's incarnation."""

    log_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class ActiveRequest:
    request_id: str
    cursor: LogCursor


@dataclass(frozen=True, slots=True)
class Snapshot:
    session_id: str
    scopes: Sequence[ScopeProjection]
    active: Sequence[ActiveRequest]
    cursor: LogCursor
    time: Micros


# --- state --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScopeTarget:
    """A scope as a caller names it: its kind and bare id, and the flow whose schema governs the write."""

    kind: ScopeKind
    id: str
    flow_kind: str = ""


@dataclass(frozen=True, slots=True)
class StateMutation:
    target: ScopeTarget
    operations: tuple[Operation, ...]
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class StateCommit:
    """Mutations that are committed all or not at all. ``fingerprint`` is that of the message as sent."""

    mutations: tuple[StateMutation, ...]
    idempotency_key: str = ""
    fingerprint: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class StateCommitted:
    views: Sequence[StateView]
    replayed: bool


# --- tails --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TailCall:
    """Which log to follow and from where: after ``cursor``, or only what is new (``latest``).

    ``heartbeat`` is in seconds (0: the default). ``replay_only`` ends after what is there.
    """

    request_id: str
    cursor: LogCursor = LogCursor("", 0)
    latest: bool = False
    heartbeat: float = 0.0
    replay_only: bool = False


@dataclass(frozen=True, slots=True)
class TailStarted:
    cursor: LogCursor
    earliest: int
    latest: int
    heartbeat: float


@dataclass(frozen=True, slots=True)
class TailBatch:
    """Events as the caller's plane may see them, at least one. ``after`` is the cursor before the batch."""

    cursor: LogCursor
    events: Sequence[EventRecord]
    after: int


@dataclass(frozen=True, slots=True)
class TailTrimmed:
    """Transient events between ``first`` and ``last`` were swept before the caller came; the cursor has not moved."""

    cursor: LogCursor
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TailCaughtUp:
    cursor: LogCursor


@dataclass(frozen=True, slots=True)
class TailHeartbeat:
    cursor: LogCursor
    latest: int


@dataclass(frozen=True, slots=True)
class TailEnded:
    """The log has ended (``terminal``), or a ``replay_only`` tail has shown what was there."""

    cursor: LogCursor
    final: int
    terminal: bool


TailFrame = TailStarted | TailBatch | TailTrimmed | TailCaughtUp | TailHeartbeat | TailEnded


@dataclass(frozen=True, slots=True)
class EventList:
    events: Sequence[EventRecord]
    cursor: LogCursor
    end_of_log: bool
