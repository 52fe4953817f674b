"""What an error of the driver means to a caller."""

from __future__ import annotations

import logging
import sqlite3

from flowstate_server.errors import InternalError, StoreUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.log_throttle import LogThrottle

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())

_TAKEN_KEYS = frozenset(
    (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID)
)
_DAMAGE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))  # repeating won't help
_PRIMARY = 0xFF


def translated(error: sqlite3.Error) -> Exception:
    """Ours for ``error``; its details go to the log only."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _TAKEN_KEYS:
        return Conflict()
    damaged = code & _PRIMARY in _DAMAGE
    if not damaged and (isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError):
        _log.error("SQLite failed: %s (%s)", error, getattr(error, "sqlite_errorname", "-"))
        return StoreUnavailableError()
    error_id = new_id("err_")
    if damaged:
        _log.error(
            "SQLite found the database damaged (%s): %s", error_id, error, extra={"error_id": error_id}
        )
    else:
        _log.error(
            "SQLite refused what it was given (%s)", error_id, exc_info=error, extra={"error_id": error_id}
        )
    return InternalError(error_id=error_id)
