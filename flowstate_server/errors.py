"""Every error FlowState raises on purpose, in one tree.

::

    FlowStateError
    ├── ServiceError                      may reach a caller; has a reason
    │   ├── InvalidArgumentError
    │   │   ├── ValidationFailedError     ├── MalformedMessageError
    │   │   ├── MetadataInvalidError      ├── JsonInvalidError
    │   │   ├── JsonLimitError            ├── JsonNumberError
    │   │   ├── PathInvalidError          ├── StateValidationError
    │   │   ├── PageTokenInvalidError     └── CursorInvalidError
    │   ├── CredentialsInvalidError, AccessDeniedError, TenantRequiredError
    │   ├── NotFoundError
    │   │   ├── FlowNotFoundError         ├── ActionNotFoundError
    │   │   ├── SessionNotFoundError      ├── RequestNotFoundError
    │   │   ├── ItemNotFoundError         └── ResourceNotFoundError
    │   ├── SessionAlreadyExistsError, RequestAlreadyExistsError, ResourceAlreadyExistsError
    │   ├── VersionMismatchError, ConcurrentModificationError
    │   ├── PreconditionError
    │   │   ├── StateTestFailedError      ├── StateTypeConflictError
    │   │   ├── ScopeUnavailableError     ├── OrgBindingMismatchError
    │   │   ├── FlowBindingMismatchError  ├── RequestTerminalError
    │   │   ├── RequestOpenError          ├── ResourceDeletedError
    │   │   ├── ConcurrencyRejectedError
    │   │   └── IdempotencyKeyReusedError └── CursorLogMismatchError
    │   ├── CursorAheadError
    │   ├── RateLimitedError, TooManyStreamsError, SlowConsumerError
    │   ├── MessageTooLargeError, StateTooLargeError, TooManyResourcesError,
    │   │     QueueFullError
    │   ├── StoreUnavailableError ─── UnclearCommitError
    │   ├── ServerDrainingError, LeaseLostError
    │   └── DeadlineBudgetExhaustedError, FeatureDisabledError, InternalError
    ├── StateFieldAbsentError             reading a field that has neither value nor default
    ├── BlockStateUnavailableError, AmbiguousBlockNameError
    ├── UpgradeResultError                an upgrade that gives no fields
    ├── StoreOpenError                    a store that can't be opened at all
    ├── ModelCallError                    a language model that gave no answer
    │   └── ModelUnavailableError, ModelRefusedError, ModelAnswerError
    ├── ActionError                       raised by flow authors, speaks to the client
    │   └── ExplainedActionError          ours, with a word for the author alone
    └── FlowDefinitionError               a flow that can't be built or registered
        └── SchemaConflictError, CrossFlowSchemaConflictError

The docstring of a class is its message; ``{names}`` in it are its fields. Each leaf of ``ServiceError`` has
exactly one :class:`Reason`, the value of ``google.rpc.ErrorInfo.reason``; which gRPC status it travels under is
decided in one table, ``flowstate_server/rpc/error_status.py``. Messages name the place at fault (ids, JSON Pointer
paths, rules) and never carry a stored or refused value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, dataclass_transform


class Reason(StrEnum):
    """Why a call failed; the names of ``flowstate.v1.ErrorReason`` without its prefix."""

    VALIDATION_FAILED = "VALIDATION_FAILED"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    METADATA_INVALID = "METADATA_INVALID"
    JSON_INVALID = "JSON_INVALID"
    JSON_LIMIT_EXCEEDED = "JSON_LIMIT_EXCEEDED"
    JSON_NUMBER_UNREPRESENTABLE = "JSON_NUMBER_UNREPRESENTABLE"
    PATH_INVALID = "PATH_INVALID"
    SCHEMA_VIOLATION = "SCHEMA_VIOLATION"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    CURSOR_INVALID = "CURSOR_INVALID"
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    ACCESS_DENIED = "ACCESS_DENIED"
    TENANT_REQUIRED = "TENANT_REQUIRED"
    FLOW_NOT_FOUND = "FLOW_NOT_FOUND"
    ACTION_NOT_FOUND = "ACTION_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    REQUEST_NOT_FOUND = "REQUEST_NOT_FOUND"
    ITEM_NOT_FOUND = "ITEM_NOT_FOUND"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    SESSION_ALREADY_EXISTS = "SESSION_ALREADY_EXISTS"
    RESOURCE_ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
    REQUEST_ALREADY_EXISTS = "REQUEST_ALREADY_EXISTS"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    WRITE_CONFLICT = "WRITE_CONFLICT"
    REQUEST_OPEN = "REQUEST_OPEN"
    STATE_TEST_FAILED = "STATE_TEST_FAILED"
    STATE_TYPE_CONFLICT = "STATE_TYPE_CONFLICT"
    SCOPE_UNAVAILABLE = "SCOPE_UNAVAILABLE"
    ORG_BINDING_MISMATCH = "ORG_BINDING_MISMATCH"
    FLOW_BINDING_MISMATCH = "FLOW_BINDING_MISMATCH"
    RESOURCE_DELETED = "RESOURCE_DELETED"
    REQUEST_TERMINAL = "REQUEST_TERMINAL"
    CONCURRENCY_REJECTED = "CONCURRENCY_REJECTED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CURSOR_LOG_MISMATCH = "CURSOR_LOG_MISMATCH"
    CURSOR_AHEAD = "CURSOR_AHEAD"
    EVENTS_COMPACTED = "EVENTS_COMPACTED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    STATE_TOO_LARGE = "STATE_TOO_LARGE"
    TOO_MANY_RESOURCES = "TOO_MANY_RESOURCES"
    QUEUE_FULL = "QUEUE_FULL"
    SERVER_DRAINING = "SERVER_DRAINING"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    LEASE_LOST = "LEASE_LOST"
    DEADLINE_BUDGET_EXHAUSTED = "DEADLINE_BUDGET_EXHAUSTED"
    FEATURE_DISABLED = "FEATURE_DISABLED"
    INTERNAL = "INTERNAL"


@dataclass_transform(eq_default=False)
class FlowStateError(Exception):
    """FlowState could not do what was asked."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(eq=False, repr=False)(cls)

    def __str__(self) -> str:
        template = " ".join((type(self).__doc__ or "").split("\n\n")[0].split())
        return template.format_map(self.__dict__).removeprefix(": ")  # where there is no path to name

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.__dict__))


class ServiceError(FlowStateError):
    """The call failed.

    Where a store refused a batch, ``refused_write`` is the position in it of the write at fault. Where a commit of
    several records is refused, ``mutation`` says which of them is at fault.
    """

    reason: ClassVar[Reason]

    def __post_init__(self) -> None:
        self.refused_write: int | None = None
        self.mutation: MutationAtFault | None = None


def _rebuild(cls: type[FlowStateError], fields: dict[str, Any]) -> FlowStateError:
    error = cls.__new__(cls)
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True, slots=True)
class MutationAtFault:
    """The mutation of a commit that was refused: its position, and the scope kind and id of its record as sent."""

    index: int
    scope: str
    owner: str


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one place of an input breaks.

    ``path`` is a JSON Pointer (a message field path for protobuf fields), ``rule`` pydantic's error type or our own
    word for it, ``message`` says what was expected. None of the three ever holds the refused value.
    """

    path: str
    rule: str
    message: str


class InvalidArgumentError(ServiceError):
    """The call is not valid."""


class ValidationFailedError(InvalidArgumentError):
    """{summary}"""

    reason = Reason.VALIDATION_FAILED
    violations: tuple[Violation, ...]

    @property
    def summary(self) -> str:
        return "; ".join(f"{v.path or '/'}: {v.message}" for v in self.violations[:3]) or "invalid"

    def __str__(self) -> str:
        return self.summary


class MalformedMessageError(InvalidArgumentError):
    """The bytes are not a valid message of the method's request type."""

    reason = Reason.MALFORMED_MESSAGE


class MetadataInvalidError(InvalidArgumentError):
    """Call metadata {key}: {problem}."""

    reason = Reason.METADATA_INVALID
    key: str
    problem: str


class JsonInvalidError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_INVALID
    path: str
    problem: str


class JsonLimitError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_LIMIT_EXCEEDED
    path: str
    problem: str


class JsonNumberError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_NUMBER_UNREPRESENTABLE
    path: str
    problem: str


class PathInvalidError(InvalidArgumentError):
    """The path "{path}" {problem}."""

    reason = Reason.PATH_INVALID
    path: str
    problem: str


class StateValidationError(InvalidArgumentError):
    """The {scope} state would break its schema."""

    reason = Reason.SCHEMA_VIOLATION
    scope: str
    violations: tuple[Violation, ...]
    stored: bool = False
    """Whether this is about what is stored already, and was read."""

    def __str__(self) -> str:
        places = "; ".join(f"{v.path}: {v.message}".removeprefix(": ") for v in self.violations[:3])
        if self.stored:
            mend = (
                "write the field anew (patch_state), remove it (unset_state), or give the flow's scope a"
                " generation= and an upgrade= that makes what other deploys stored fit"
            )
            return f"The stored {self.scope} state does not fit its schema (any more): {places}; {mend}"
        return f"The {self.scope} state would break its schema: {places}"


class PageTokenInvalidError(InvalidArgumentError):
    """The page token was not issued for this query."""

    reason = Reason.PAGE_TOKEN_INVALID


class CursorInvalidError(InvalidArgumentError):
    """The cursor is not valid: {problem}."""

    reason = Reason.CURSOR_INVALID
    problem: str


class CredentialsInvalidError(ServiceError):
    """The call carries no valid credentials."""

    reason = Reason.CREDENTIALS_INVALID


class AccessDeniedError(ServiceError):
    """{problem}."""

    reason = Reason.ACCESS_DENIED
    problem: str


class TenantRequiredError(ServiceError):
    """The call needs a tenant in its metadata."""

    reason = Reason.TENANT_REQUIRED


class NotFoundError(ServiceError):
    """Not found."""


class FlowNotFoundError(NotFoundError):
    """No flow {flow_kind} is registered{hint}

    ``hint`` ends the sentence: which flow may have been meant.
    """

    reason = Reason.FLOW_NOT_FOUND
    flow_kind: str
    hint: str = "."


class ActionNotFoundError(NotFoundError):
    """Flow {flow_kind} has no action {action}{hint}

    ``hint`` ends the sentence: which action may have been meant.
    """

    reason = Reason.ACTION_NOT_FOUND
    flow_kind: str
    action: str
    hint: str = "."


class SessionNotFoundError(NotFoundError):
    """No session {session_id}."""

    reason = Reason.SESSION_NOT_FOUND
    session_id: str


class RequestNotFoundError(NotFoundError):
    """No request {request_id}."""

    reason = Reason.REQUEST_NOT_FOUND
    request_id: str


class ItemNotFoundError(NotFoundError):
    """No item {item_id} in the session."""

    reason = Reason.ITEM_NOT_FOUND
    item_id: str


class ResourceNotFoundError(NotFoundError):
    """No {scope} resource {name}{hint}

    ``hint`` ends the sentence: that nobody declares one of that name, and which there are.
    """

    reason = Reason.RESOURCE_NOT_FOUND
    scope: str
    name: str
    hint: str = "."


class SessionAlreadyExistsError(ServiceError):
    """A session {session_id} exists.

    ``resolved``: it is in the way since it is the one that is resolved by the metadata that was given. It may have no
    id here, for those who may not know it.
    """

    reason = Reason.SESSION_ALREADY_EXISTS
    session_id: str
    resolved: bool = False

    def __str__(self) -> str:
        if self.resolved:
            which = f": {self.session_id}" if self.session_id else ""
            return f"Another session is resolved by this metadata{which}."
        return super().__str__()


class RequestAlreadyExistsError(ServiceError):
    """A different request has the id {request_id}."""

    reason = Reason.REQUEST_ALREADY_EXISTS
    request_id: str


class ResourceAlreadyExistsError(ServiceError):
    """A {scope} resource {name} exists."""

    reason = Reason.RESOURCE_ALREADY_EXISTS
    scope: str
    name: str


class VersionMismatchError(ServiceError):
    """The {record} is at version {current}, the call expects {expected}.

    ``expected`` is the version asked for, or ``exists`` / ``absent`` / ``another incarnation``. ``record`` is what it
    is called, by default the state of the scope. Where a store refused a batch, ``newest`` is the record as the batches
    beside it have left it, for whoever tries again at once.
    """

    reason = Reason.VERSION_MISMATCH
    scope: str
    expected: str
    current: int
    record: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.record = self.record or f"{self.scope} state"
        self.newest: object = None

    def __str__(self) -> str:
        match self.expected:
            case "exists":
                return f"There is no {self.record}, and the call expects one."
            case "absent":
                return f"The {self.record} exists, at version {self.current}, and the call expects none."
            case "another incarnation":
                return f"The {self.record} that the call expects was deleted; the newest version is {self.current}."
        return super().__str__()


class ConcurrentModificationError(ServiceError):
    """Gave up after {attempts} lost races on the {scope} state."""

    reason = Reason.WRITE_CONFLICT
    scope: str
    attempts: int


class PreconditionError(ServiceError):
    """The present state forbids the call."""


class RequestOpenError(PreconditionError):
    """Request {request_id} has not ended yet."""

    reason = Reason.REQUEST_OPEN
    request_id: str


class StateTestFailedError(PreconditionError):
    """The test at "{path}" does not hold."""

    reason = Reason.STATE_TEST_FAILED
    path: str


class StateTypeConflictError(PreconditionError):
    """{path}: {problem}."""

    reason = Reason.STATE_TYPE_CONFLICT
    path: str
    problem: str


class ScopeUnavailableError(PreconditionError):
    """The {scope} record is not available to this request: {problem}."""

    reason = Reason.SCOPE_UNAVAILABLE
    scope: str
    problem: str


class OrgBindingMismatchError(PreconditionError):
    """Session {session_id} is bound to another org."""

    reason = Reason.ORG_BINDING_MISMATCH
    session_id: str
    """Empty for whoever has named the session by other means, and may not learn its id."""

    def __str__(self) -> str:
        return super().__str__() if self.session_id else "The session is bound to another org."


class FlowBindingMismatchError(PreconditionError):
    """Session {session_id} belongs to another flow kind."""

    reason = Reason.FLOW_BINDING_MISMATCH
    session_id: str


class ResourceDeletedError(PreconditionError):
    """The {scope} resource {name} that is meant was deleted."""

    reason = Reason.RESOURCE_DELETED
    scope: str
    name: str


class RequestTerminalError(PreconditionError):
    """Request {request_id} has ended."""

    reason = Reason.REQUEST_TERMINAL
    request_id: str


class ConcurrencyRejectedError(PreconditionError):
    """The action lets one request run at a time, and {problem}."""

    reason = Reason.CONCURRENCY_REJECTED
    problem: str
    request_id: str = ""


class IdempotencyKeyReusedError(PreconditionError):
    """The idempotency key was used for a different call."""

    reason = Reason.IDEMPOTENCY_KEY_REUSED


class CursorLogMismatchError(PreconditionError):
    """The cursor belongs to another log than the current one."""

    reason = Reason.CURSOR_LOG_MISMATCH
    log_id: str


class CursorAheadError(ServiceError):
    """The cursor {sequence} lies beyond the log's newest event {latest}."""

    reason = Reason.CURSOR_AHEAD
    sequence: int
    latest: int


class EventsCompactedError(ServiceError):
    """Events after the cursor were removed: the log can be read from {earliest} on, up to {latest}."""

    reason = Reason.EVENTS_COMPACTED
    earliest: int
    latest: int

    def __str__(self) -> str:
        if self.earliest > self.latest:
            return f"All events of the log, up to {self.latest}, were removed."
        return super().__str__()


class RateLimitedError(ServiceError):
    """More than {limit} calls at once."""

    reason = Reason.RATE_LIMITED
    limit: int


class TooManyStreamsError(ServiceError):
    """More than {limit} open streams."""

    reason = Reason.TOO_MANY_STREAMS
    limit: int


class SlowConsumerError(ServiceError):
    """The stream was not read for {seconds} s; resume from cursor {sequence}."""

    reason = Reason.SLOW_CONSUMER
    seconds: int
    sequence: int


class MessageTooLargeError(ServiceError):
    """{what} has {size} bytes; the limit is {limit}."""

    reason = Reason.MESSAGE_TOO_LARGE
    what: str
    size: int
    limit: int


class StateTooLargeError(ServiceError):
    """The {scope} state would have {size} bytes; the limit is {limit}."""

    reason = Reason.STATE_TOO_LARGE
    scope: str
    size: int
    limit: int


class TooManyResourcesError(ServiceError):
    """More than {limit} {scope} resources {of_what}.

    ``of_what``: ``of one owner``, or the collection, quoted.
    """

    reason = Reason.TOO_MANY_RESOURCES
    scope: str
    limit: int
    of_what: str


class QueueFullError(ServiceError):
    """The queue is full: {waiting} waiting, the limit is {limit}."""

    reason = Reason.QUEUE_FULL
    waiting: int
    limit: int


class ServerDrainingError(ServiceError):
    """The server is shutting down; repeat the call elsewhere."""

    reason = Reason.SERVER_DRAINING


class StoreUnavailableError(ServiceError):
    """The store can't be reached or is overloaded; repeat the call."""

    reason = Reason.STORE_UNAVAILABLE


class UnclearCommitError(StoreUnavailableError):
    """The store can't be reached or is overloaded; repeat the call."""

    # Whether the commit was made can't be learnt. Every other StoreUnavailableError of a commit means that it was not.


class LeaseLostError(ServiceError):
    """The server process that ran the request lost its lease."""

    reason = Reason.LEASE_LOST


class DeadlineBudgetExhaustedError(ServiceError):
    """Too little of the deadline is left to start."""

    reason = Reason.DEADLINE_BUDGET_EXHAUSTED


class FeatureDisabledError(ServiceError):
    """This server does not serve {feature}."""

    reason = Reason.FEATURE_DISABLED
    feature: str


class InternalError(ServiceError):
    """Internal error {error_id}."""

    reason = Reason.INTERNAL
    error_id: str


class StoreOpenError(FlowStateError):
    """The store can't be opened: {problem}.

    Repeating does not help: the path, the file or the version of FlowState has to change.
    """

    problem: str


class LifespanError(FlowStateError):
    """The lifespan of the application failed: {problem}"""

    problem: str


class DependencyNotFoundError(FlowStateError):
    """No dependency is a {asked}: {problem}"""

    asked: str
    problem: str


class StateFieldAbsentError(FlowStateError):
    """The {scope} field {field} has no value and no default."""

    scope: str
    field: str


class BlockStateUnavailableError(FlowStateError):
    """{problem}"""

    problem: str


class AmbiguousBlockNameError(FlowStateError):
    """Several blocks around {block} are named "{name}", so that the target of this name is none of them."""

    block: str
    name: str


class UpgradeResultError(FlowStateError):
    """it returned {returned}, not a dict of fields"""

    returned: str


class ActionError(FlowStateError):
    """{message}

    Raise it in a block to end the request as failed with words meant for the client: ``code`` becomes
    ``Failure.reason``, ``details`` must be a JSON object, ``retryable`` tells callers that a new attempt may succeed.
    """

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = False


class ExplainedActionError(ActionError):
    """{message}: {explanation}

    ``explanation`` is for the author of the flow, in tests and in the log: clients get ``message`` alone.
    """

    explanation: str = ""


class ModelCallError(FlowStateError):
    """The language model gave no answer: {problem}

    ``problem`` is for the log: it may hold the provider's words, which no client is told.
    """

    problem: str


class ModelUnavailableError(ModelCallError):
    """The language model is not available: {problem}

    ``retry_after`` is the number of seconds after which the provider wants to be asked again, if it says so.
    """

    retry_after: float | None = None


class ModelRefusedError(ModelCallError):
    """The language model refused the call: {problem}"""


class ModelAnswerError(ModelCallError):
    """The language model's answer can't be read: {problem}"""


class FlowDefinitionError(FlowStateError):
    """{problem}"""

    problem: str


class SchemaConflictError(FlowDefinitionError):
    """Two declarations of one thing can't be merged: {problem}"""


class CrossFlowSchemaConflictError(FlowDefinitionError):
    """Flows "{flow_a}" and "{flow_b}" declare incompatible {scope} state schemas
    ({reason}: field "{field}": {problem}). Set isolate_{scope}_state=True on one of the flows to opt out of
    cross-flow sharing, or reconcile the schemas.{elsewhere}

    ``reason`` is ``incompatible-types``, ``incompatible-shape``, ``incompatible-values`` or ``incompatible-upgrades``.
    ``elsewhere`` says where the flow is that another process serves, or where the field is declared. ``others`` are
    the conflicts that were found with this one.
    """

    scope: str
    field: str
    flow_a: str
    flow_b: str
    reason: str
    elsewhere: str = ""
    others: tuple[CrossFlowSchemaConflictError, ...] = ()

    def __str__(self) -> str:
        if not self.others:
            return super().__str__()
        return f"{super().__str__()} There is more: {'; '.join(one.brief for one in self.others)}."

    @property
    def brief(self) -> str:
        return (
            f'{self.scope} field "{self.field}" of "{self.flow_a}" and "{self.flow_b}"'
            f" ({self.reason}: {self.problem})"
        )

    @property
    def detail(self) -> str:
        """How they differ: ``str vs int``."""
        return self.problem
