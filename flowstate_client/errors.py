"""Every error of the client, in one tree.

::

    FlowStateError
    ├── ClientError                        found by the client
    │   ├── ConnectError                   no answer from a server (also an Unavailable)
    │   ├── TimeoutError                   the time given to a wait is over
    │   ├── ProtocolError                  a stream breaks its contract
    │   ├── ResponseValidationError        a value does not fit the type asked for
    │   ├── ConcurrentModificationError    atomic_state lost too many races
    │   └── ClientClosedError              the client was closed, or is not open yet
    ├── ApiError                           a call ended with a status other than OK
    │   ├── InvalidArgument (ValidationFailed, SchemaViolation, InvalidJson)
    │   ├── Unauthenticated, PermissionDenied
    │   ├── NotFound (FlowNotFound, ActionNotFound, SessionNotFound, RequestNotFound, ResourceNotFound)
    │   ├── AlreadyExists (ResourceAlreadyExists)
    │   ├── ConflictError (VersionMismatch)
    │   ├── PreconditionError (ConcurrencyRejected, OrgBindingMismatch, FlowBindingMismatch, CursorLogMismatch, ...)
    │   ├── OutOfRange (CursorAhead, EventsCompacted)
    │   ├── ResourceExhausted (RateLimited, TooManyStreams, SlowConsumer, TooLarge, TooManyResources, QueueFull)
    │   ├── Unavailable, DeadlineExceeded, Cancelled
    │   └── FeatureUnavailable, InternalError, DataLoss
    └── ActionFailed                       the call went well, the action did not
        └── ActionAborted, ActionInterrupted

A value that cannot be sent is a plain ``ValueError`` at the call, before anything is sent. Which reason of
``flowstate.v1.ErrorReason`` becomes which class is said in :mod:`flowstate_client.error_reasons`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from grpc import StatusCode

from flowstate_client.error_places import FieldViolation, MutationAtFault
from flowstate_client.models import Failure, RequestStatus, Scope


class FlowStateError(Exception):
    """What FlowState reports, whoever found it."""

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[FlowStateError], args: tuple[Any, ...], fields: dict[str, Any]) -> FlowStateError:
    """A copied or unpickled error."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def hides_our_frames(raised: Any) -> bool:
    """Whether pytest, whose ``ExceptionInfo`` is asked about, leaves our frames out of what it shows of a failed test.

    Not of what is our own fault. Each module has it as ``__tracebackhide__``, which pytest looks for.
    """
    return isinstance(raised.value, FlowStateError | ValueError)


class ClientError(FlowStateError):
    """The client found it; no answer of the server says so."""


class TimeoutError(ClientError, builtins.TimeoutError):
    """The time given to a wait is over. The run that was waited for goes on."""


class ProtocolError(ClientError):
    """A stream breaks the contract of the tail: a hole, a repeat, a jump. A fault of the server or of a proxy."""


class ClientClosedError(ClientError):
    """The client was closed, or ``async with`` has not opened it yet."""


class ResponseValidationError(ClientError):
    """A value from the server does not fit the type asked for.

    ``raw`` is the JSON text as it came, ``expected`` the type; the cause is pydantic's ``ValidationError``.
    """

    def __init__(self, raw: bytes, expected: Any, problem: str) -> None:
        self.raw = raw
        self.expected = expected
        super().__init__(f"the value does not fit {getattr(expected, '__name__', expected)}: {problem}")


class ConcurrentModificationError(ClientError):
    """``atomic_state`` gave up: in each of ``attempts`` attempts another writer was first. Nothing was written."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        super().__init__(f"gave up after {attempts} lost races")


class ApiError(FlowStateError):
    """A call ended with a status other than OK.

    Attributes:
        message: What the server said, for people.
        code: The gRPC status code.
        reason: Name in ``flowstate.v1.ErrorReason`` without its prefix; empty where gRPC itself or a proxy failed.
        domain: Who defined ``reason``: ``flowstate.dev``, or empty.
        metadata: Facts that go with the reason, for example ``current`` of VERSION_MISMATCH.
        field_violations: The places at fault, for INVALID_ARGUMENT.
        retry_after: Seconds after which the server asks to come back; ``None`` if it says nothing.
        correlation_id: Names the call in the server's log.
        method: ``Service/Method``.
        hint: What to do about it in this client, where it is known; else empty.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode = StatusCode.UNKNOWN,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        correlation_id: str = "",
        method: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.domain = domain
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.method = method
        self.hint = hint

    @property
    def mutation(self) -> MutationAtFault | None:
        """The write of a commit of state that was refused; ``None`` where no single one is at fault."""
        index, scope = self.metadata.get("mutation", ""), self.metadata.get("scope", "")
        if not index.isdecimal():
            return None
        known = Scope(scope) if scope in set(Scope) else Scope.UNKNOWN
        return MutationAtFault(int(index), known, self.metadata.get("owner", ""))

    def __str__(self) -> str:
        text = (
            f"{self.reason or self.code.name}: {self.message}"
            if self.message
            else self.reason or self.code.name
        )
        if self.method:
            text = f"{self.method}: {text}"
        shown = [f"{v.field}: {v.description or v.reason}" for v in self.field_violations[:3]]
        shown = [line for line in shown if line not in self.message]
        if shown:
            text += f" [{'; '.join(shown)}]"
        if self.hint:
            text = f"{text.removesuffix('.')}; {self.hint}"
        return f"{text} (correlation id {self.correlation_id})" if self.correlation_id else text


class InvalidArgument(ApiError):
    """The call itself is wrong and will be refused again; ``field_violations`` has the places."""


class ValidationFailed(InvalidArgument):
    """A field is wrong, or the input does not fit the action's schema. Nothing was stored."""


class SchemaViolation(InvalidArgument):
    """The state after the write would not fit its schema. Nothing was written."""


class InvalidJson(InvalidArgument):
    """A value is not JSON in FlowState's profile."""


class Unauthenticated(ApiError):
    """Credentials are missing, unknown or expired."""


class PermissionDenied(ApiError):
    """The caller's plane, user, org or tenant does not allow this."""


class NotFound(ApiError):
    """It does not exist, was deleted, or belongs to somebody else."""


class FlowNotFound(NotFound):
    """No flow of this kind is registered with the server."""


class ActionNotFound(NotFound):
    """The flow has no such action."""


class SessionNotFound(NotFound):
    """No such session for this caller."""


class RequestNotFound(NotFound):
    """No such request for this caller."""


class ResourceNotFound(NotFound):
    """No such resource for this caller."""


class AlreadyExists(ApiError):
    """The id is taken: a session, a resource, or a request that was sent with other fields."""


class ConflictError(ApiError):
    """Another writer was first. Read again and decide anew; the client never repeats this by itself."""


class VersionMismatch(ConflictError):
    """The precondition of a write does not hold; nothing was written."""

    @property
    def current_version(self) -> int | None:
        """The version that the record has; ``None`` if the server did not say."""
        current = self.metadata.get("current", "")
        return int(current) if current.isdecimal() else None


class PreconditionError(ApiError):
    """The present state forbids the call; it will be refused again unless something changes."""


class StateTypeConflict(PreconditionError):
    """The stored value has a type that the operation cannot work on."""


class ScopeUnavailable(PreconditionError):
    """The record can't be written, or not read, here: it was deleted while the request ran, a newer deploy of its flow
    has written it, or its flow's upgrade of it fails. The message says which."""


class OrgBindingMismatch(PreconditionError):
    """The session is bound to another org, or to none."""


class FlowBindingMismatch(PreconditionError):
    """The session is bound to another flow kind."""


class RequestTerminal(PreconditionError):
    """The request has ended; nothing more can be written for it."""


class ConcurrencyRejected(PreconditionError):
    """The action lets one request run at a time, and another one does; or it would have waited for the very run that
    calls. Nothing was stored."""

    @property
    def running_request_id(self) -> str:
        """The request that has the turn; empty where this caller may not read it."""
        return self.metadata.get("request_id", "")


class ResourceDeleted(PreconditionError):
    """The resource was deleted since it was read; the write does not bring it back."""


class IdempotencyKeyReused(PreconditionError):
    """The idempotency key was used for other content."""


class CursorLogMismatch(PreconditionError):
    """The cursor belongs to an earlier incarnation of the log. Start over."""


class OutOfRange(ApiError):
    """The position is outside the log."""


class CursorAhead(OutOfRange):
    """The cursor, or the place in a content, lies beyond the end."""


class EventsCompacted(OutOfRange):
    """Events after the cursor were removed. Take a snapshot and go on from its cursor."""


class ResourceExhausted(ApiError):
    """A limit is reached."""


class RateLimited(ResourceExhausted):
    """Too many calls; come back after ``retry_after``."""


class TooManyStreams(ResourceExhausted):
    """The tenant has as many open streams as it may."""


class SlowConsumer(ResourceExhausted):
    """A stream was not read for too long. Tails resume by themselves."""


class TooLarge(ResourceExhausted):
    """A message, a reply or a state document would exceed its limit."""


class QueueFull(ResourceExhausted):
    """As many requests as may wait for their turn. Nothing was stored."""


class Unavailable(ApiError):
    """The server, or what it needs, is away for now. The client has repeated the call as long as it may."""


class ConnectError(ClientError, Unavailable):
    """No answer from a server: refused, reset, unreachable. Whether a write was applied is unknown."""


class DeadlineExceeded(ApiError, builtins.TimeoutError):
    """The call's time was over. A write may have been committed: repeat it with the same id or key to know."""


class Cancelled(ApiError):
    """The call was cancelled on the way, not by this client."""


class FeatureUnavailable(ApiError):
    """The server does not serve this yet.

    ``feature`` is the method or field, ``server_version`` what the server calls itself (empty if it cannot be asked).
    """

    server_version: str = ""

    @property
    def feature(self) -> str:
        """What is not served: a field such as ``ListSessionsRequest.tags``, else the method."""
        return self.metadata.get("feature") or self.method

    def __str__(self) -> str:
        text = super().__str__()
        if self.feature not in text:
            text += f" ({self.feature} is not served)"
        return f"{text}; server version {self.server_version}" if self.server_version else text


class InternalError(ApiError):
    """Something unexpected in the server."""

    @property
    def error_id(self) -> str:
        """The id under which the server's log has the cause; empty if unknown."""
        return self.metadata.get("error_id", "")


class DataLoss(ApiError):
    """The stored log is damaged."""


class ActionFailed(FlowStateError):
    """The run ended without an output. The calls were all fine, so this is not an :class:`ApiError`.

    ``failure`` says why, ``status`` how it ended, ``request_id`` which request.
    """

    def __init__(
        self, failure: Failure, *, request_id: str = "", status: RequestStatus | None = None
    ) -> None:
        self.failure = failure
        self.request_id = request_id
        self.status = status or RequestStatus.FAILED
        text = f"{failure.reason}: {failure.message}" if failure.message else failure.reason
        if failure.error_id:
            text += f" (error id {failure.error_id})"
        super().__init__(f"{text} (request {request_id})" if request_id else text)


class ActionAborted(ActionFailed):
    """The run was cancelled, went with its session, or never began, as a newer request took its turn;
    ``failure.message`` is the reason."""


class ActionInterrupted(ActionFailed):
    """The run's server process died; whether the work was done is unknown. A new attempt needs a new request id.

    ``failure.message`` says what happened to the server.
    """
