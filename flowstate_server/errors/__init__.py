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
    │   ├── CursorAheadError, EventsCompactedError
    │   ├── RateLimitedError, TooManyStreamsError, SlowConsumerError
    │   ├── MessageTooLargeError, StateTooLargeError, TooManyResourcesError,
    │   │     QueueFullError
    │   ├── StoreUnavailableError ─── UnclearCommitError
    │   ├── ServerDrainingError, LeaseLostError
    │   └── DeadlineBudgetExhaustedError, FeatureDisabledError, InternalError
    ├── StateFieldAbsentError             reading a field that has neither value nor default
    ├── BlockStateUnavailableError, AmbiguousBlockNameError, DependencyNotFoundError
    ├── UpgradeResultError                an upgrade that gives no fields
    ├── LifespanError                     an application that can't be started
    ├── StoreOpenError                    a store that can't be opened at all
    │   └── StoreUnreachableError         or for now
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

Each subject has a file here, and ``kinds.py`` holds what has others below it. Everybody imports from this package.
"""

from __future__ import annotations

from flowstate_server.errors.arguments import (
    JsonInvalidError,
    JsonLimitError,
    JsonNumberError,
    MalformedMessageError,
    MetadataInvalidError,
    PageTokenInvalidError,
    PathInvalidError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.errors.callers import (
    AccessDeniedError,
    CredentialsInvalidError,
    TenantRequiredError,
)
from flowstate_server.errors.flows import (
    ActionError,
    ActionNotFoundError,
    AmbiguousBlockNameError,
    CrossFlowSchemaConflictError,
    DependencyNotFoundError,
    ExplainedActionError,
    FlowDefinitionError,
    FlowNotFoundError,
    SchemaConflictError,
    UpgradeResultError,
)
from flowstate_server.errors.kinds import (
    FlowStateError,
    InvalidArgumentError,
    MutationAtFault,
    NotFoundError,
    PreconditionError,
    ServiceError,
)
from flowstate_server.errors.language_models import (
    ModelAnswerError,
    ModelCallError,
    ModelRefusedError,
    ModelUnavailableError,
)
from flowstate_server.errors.limits import (
    MessageTooLargeError,
    QueueFullError,
    RateLimitedError,
    StateTooLargeError,
    TooManyResourcesError,
    TooManyStreamsError,
)
from flowstate_server.errors.logs import (
    CursorAheadError,
    CursorInvalidError,
    CursorLogMismatchError,
    EventsCompactedError,
    SlowConsumerError,
)
from flowstate_server.errors.reasons import (
    Reason,
)
from flowstate_server.errors.requests import (
    ConcurrencyRejectedError,
    DeadlineBudgetExhaustedError,
    IdempotencyKeyReusedError,
    LeaseLostError,
    RequestAlreadyExistsError,
    RequestNotFoundError,
    RequestOpenError,
    RequestTerminalError,
)
from flowstate_server.errors.resources import (
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    ResourceNotFoundError,
)
from flowstate_server.errors.servers import (
    FeatureDisabledError,
    InternalError,
    LifespanError,
    ServerDrainingError,
)
from flowstate_server.errors.sessions import (
    FlowBindingMismatchError,
    ItemNotFoundError,
    OrgBindingMismatchError,
    SessionAlreadyExistsError,
    SessionNotFoundError,
)
from flowstate_server.errors.state import (
    BlockStateUnavailableError,
    ConcurrentModificationError,
    ScopeUnavailableError,
    StateFieldAbsentError,
    StateTestFailedError,
    StateTypeConflictError,
    StateValidationError,
    VersionMismatchError,
)
from flowstate_server.errors.stores import (
    StoreOpenError,
    StoreUnavailableError,
    StoreUnreachableError,
    UnclearCommitError,
)

__all__ = [
    "AccessDeniedError",
    "ActionError",
    "ActionNotFoundError",
    "AmbiguousBlockNameError",
    "BlockStateUnavailableError",
    "ConcurrencyRejectedError",
    "ConcurrentModificationError",
    "CredentialsInvalidError",
    "CrossFlowSchemaConflictError",
    "CursorAheadError",
    "CursorInvalidError",
    "CursorLogMismatchError",
    "DeadlineBudgetExhaustedError",
    "DependencyNotFoundError",
    "EventsCompactedError",
    "ExplainedActionError",
    "FeatureDisabledError",
    "FlowBindingMismatchError",
    "FlowDefinitionError",
    "FlowNotFoundError",
    "FlowStateError",
    "IdempotencyKeyReusedError",
    "InternalError",
    "InvalidArgumentError",
    "ItemNotFoundError",
    "JsonInvalidError",
    "JsonLimitError",
    "JsonNumberError",
    "LeaseLostError",
    "LifespanError",
    "MalformedMessageError",
    "MessageTooLargeError",
    "MetadataInvalidError",
    "ModelAnswerError",
    "ModelCallError",
    "ModelRefusedError",
    "ModelUnavailableError",
    "MutationAtFault",
    "NotFoundError",
    "OrgBindingMismatchError",
    "PageTokenInvalidError",
    "PathInvalidError",
    "PreconditionError",
    "QueueFullError",
    "RateLimitedError",
    "Reason",
    "RequestAlreadyExistsError",
    "RequestNotFoundError",
    "RequestOpenError",
    "RequestTerminalError",
    "ResourceAlreadyExistsError",
    "ResourceDeletedError",
    "ResourceNotFoundError",
    "SchemaConflictError",
    "ScopeUnavailableError",
    "ServerDrainingError",
    "ServiceError",
    "SessionAlreadyExistsError",
    "SessionNotFoundError",
    "SlowConsumerError",
    "StateFieldAbsentError",
    "StateTestFailedError",
    "StateTooLargeError",
    "StateTypeConflictError",
    "StateValidationError",
    "StoreOpenError",
    "StoreUnavailableError",
    "StoreUnreachableError",
    "TenantRequiredError",
    "TooManyResourcesError",
    "TooManyStreamsError",
    "UnclearCommitError",
    "UpgradeResultError",
    "ValidationFailedError",
    "VersionMismatchError",
    "Violation",
]
