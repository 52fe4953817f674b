"""Requests: how they are begun, take turns and end."""

from __future__ import annotations

from flowstate_server.errors.kinds import NotFoundError, PreconditionError, ServiceError
from flowstate_server.errors.reasons import Reason


class RequestNotFoundError(NotFoundError):
    """No request {request_id}."""

    reason = Reason.REQUEST_NOT_FOUND
    request_id: str


class RequestAlreadyExistsError(ServiceError):
    """A different request has the id {request_id}."""

    reason = Reason.REQUEST_ALREADY_EXISTS
    request_id: str


class RequestOpenError(PreconditionError):
    """Request {request_id} has not ended yet."""

    reason = Reason.REQUEST_OPEN
    request_id: str


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


class LeaseLostError(ServiceError):
    """The server process that ran the request lost its lease."""

    reason = Reason.LEASE_LOST


class DeadlineBudgetExhaustedError(ServiceError):
    """Too little of the deadline is left to start."""

    reason = Reason.DEADLINE_BUDGET_EXHAUSTED
