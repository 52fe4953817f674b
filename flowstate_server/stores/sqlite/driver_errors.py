"""What an error of the driver means to a caller."""

from __future__ import annotations

import logging
import sqlite3

from flowstate_server.errors import InternalError, StoreUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.stores.contract.storage import Conflict

_log = logging.getLogger(__name__)

_TAKEN_KEYS = frozenset(
    (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID)
)


def translated(error: sqlite3.Error) -> Exception:
    """Ours for ``error``; its details go to the log only."""
    if getattr(error, "sqlite_errorcode", None) in _TAKEN_KEYS:
        return Conflict()
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        _log.error("SQLite failed: %s (%s)", error, getattr(error, "sqlite_errorname", "-"))
        return StoreUnavailableError()
    error_id = new_id("err_")
    _log.error("SQLite refused what it was given (%s)", error_id, exc_info=error)
    return InternalError(error_id=error_id)
