"""What became of a transaction whose COMMIT was sent but not answered."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum

import asyncpg

from flowstate_server.errors import UnclearCommitError
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, described
from flowstate_server.stores.postgres.writing import Written

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""A caller waits for it: enough for a database to fail over or restart, and well below a call's deadline."""
ASK_AGAIN_SECONDS = 0.05

_STATUS = "SELECT pg_xact_status($1::text::xid8)"
_THERE = "SELECT EXISTS (SELECT 1 FROM flowstate.commits WHERE id = $1 AND token = $2)"


class _Fate(Enum):
    COMMITTED = "committed"
    ABORTED = "aborted"
    OPEN = "in progress"


async def is_committed(connections: Connections, written: Written) -> bool:
    """Ask on fresh connections until it is known.

    Raises:
        UnclearCommitError: it can't be learnt within ``SETTLE_SECONDS``.
    """
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                fate = await _ask(connections, written)
                if fate is not _Fate.OPEN:
                    _log.warning("the connection was lost in a commit, which Postgres has %s", fate.value)
                    return fate is _Fate.COMMITTED
                await asyncio.sleep(ASK_AGAIN_SECONDS)
    except TimeoutError:
        _log.error("the connection was lost in a commit, and Postgres can't be asked what became of it")
        raise UnclearCommitError from None


async def _ask(connections: Connections, written: Written) -> _Fate:
    try:
        async with connections.fresh(SETTLE_SECONDS) as connection:
            status = await connection.fetchval(_STATUS, str(written.transaction))
            if status != _Fate.COMMITTED.value:
                return _Fate(status or _Fate.OPEN.value)
            # A server that has crashed may have forgotten the transaction and given its number to another one.
            there = await connection.fetchval(_THERE, written.commit, written.token)
            return _Fate.COMMITTED if there else _Fate.ABORTED
    except asyncpg.InvalidParameterValueError:  # a number that, after a crash, was not given to anybody yet
        return _Fate.ABORTED
    except DRIVER_ERRORS as error:
        _log.info("Postgres can't be asked about a commit yet: %s", described(error))
        return _Fate.OPEN
