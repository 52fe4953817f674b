"""What an error of the driver means to a caller."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from flowstate_server.errors import InternalError, StoreUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.log_throttle import LogThrottle

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    EOFError,
)

_CONFLICTS = (
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
# What repeating won't help: values that Postgres can't take, statements that it does not know.
_REFUSALS = (
    asyncpg.DataError,  # the server's
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.SyntaxOrAccessError,
    asyncpg.exceptions.ProgramLimitExceededError,
    asyncpg.exceptions.UnsupportedClientFeatureError,
)
# Tables that are away for a while, as in a restore, or grants that are.
_ABSENCES = (
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)
_LOSSES = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.exceptions.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # a TimeoutError too
    EOFError,
)

_BUSY = (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)


@contextmanager
def translating() -> Iterator[None]:
    """Raises ours for every error of the driver within."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error) from error


def translated(error: BaseException) -> Exception:
    """Ours for ``error``; its details go to the log only."""
    if isinstance(error, _CONFLICTS):
        return Conflict()
    if _is_refusal(error) and not isinstance(error, _ABSENCES):
        error_id = new_id("err_")
        _log.error(
            "Postgres refused what it was given (%s)", error_id, exc_info=error, extra={"error_id": error_id}
        )
        return InternalError(error_id=error_id)
    _log.error("Postgres failed: %s", described(error))
    return StoreUnavailableError()


def is_loss(error: BaseException) -> bool:
    """Whether the connection can't be relied on any more. Of a statement that took too long that is not known."""
    return isinstance(error, _LOSSES) and not _is_refusal(error)


def is_passing(error: BaseException) -> bool:
    """Whether connecting failed of what may be over soon, such as a server that starts."""
    return is_loss(error) or isinstance(error, _BUSY)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, (*_REFUSALS, ValueError))  # the driver's own DataError is a ValueError


def described(error: BaseException) -> str:
    """``error`` in one line. Neither the driver nor the server puts a password into its text."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}{f' ({state})' if state else ''}: {error}"
