"""Locks of keys that have no row: advisory ones, held until the transaction ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Changes, Table
from flowstate_server.stores.postgres.loading import Absent
from flowstate_server.stores.postgres.statements import KEYS

CLASS = 0x464C5354
"""The first number of these locks; the second is a place. The lock of migrations has one number: another space."""
PLACES = 1024
"""Keys share this many locks: a server keeps some 6,400 for all of its connections unless told otherwise."""

_MADE: tuple[Table[Any, Any], ...] = (tables.STATES, tables.DOCUMENTS)
_LOCK = "SELECT pg_advisory_xact_lock($1, place) FROM unnest($2::integer[]) AS k(place)"


async def lock_keys(connection: Any, absent: Absent, changes: Changes) -> None:
    """Lock what the group has looked for in vain and what it makes, if it does both.

    Of two groups that each look for what the other one makes neither sees the other's row, which is not committed, nor
    can it lock it. With these locks the later one waits, and then finds the row when it looks again. A group that only
    looks, or only makes, is in no such circle: there is an order in which it is right.

    All rows are locked before, and all inserted after, so that nobody who waits here is waited for by those who hold
    these locks.
    """
    made = [(table, table.key_of(record)) for table in _MADE for record in changes.new_of(table)]
    if not absent or not made:
        return
    looked = [(table, key) for table, keys in absent.items() for key in keys]
    await connection.fetch(_LOCK, CLASS, _places([*looked, *made]))


def _places(keys: Iterable[tuple[Table[Any, Any], Any]]) -> list[int]:
    """In the order in which everyone takes them; the same in every process."""
    rows = {ascii((table.name, *KEYS[table].row_of(key))) for table, key in keys}
    return sorted({zlib.crc32(row.encode()) % PLACES for row in rows})
