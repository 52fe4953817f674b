"""Writing what a group has changed, in one statement: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.contract.tables import REQUESTS, SESSIONS, Changes, Loaded, Table
from flowstate_server.stores.postgres.deleted_sessions import cut
from flowstate_server.stores.postgres.loading import Absent
from flowstate_server.stores.postgres.numbers import NumberSource
from flowstate_server.stores.postgres.statements import KEYS, WriteTexts
from flowstate_server.stores.tables.changes import ChangedRows, writes
from flowstate_server.stores.tables.numbers import Row, encode_topics
from flowstate_server.stores.tables.rows import Numbers

WRITES = writes(place="log, session_sequence")
TEXTS = WriteTexts(WRITES)


class Written(NamedTuple):
    """What a transaction is known by, should the connection be lost: its number, and its row in ``commits``."""

    commit: int
    token: int
    transaction: int


class Writer:
    """Draws numbers and writes; one for each store."""

    def __init__(self) -> None:
        self._sources: dict[Table[Any, Any], NumberSource] = {
            SESSIONS: NumberSource("log_numbers"),
            REQUESTS: NumberSource("request_numbers"),
        }

    async def write(
        self, connection: Any, changes: Changes, loaded: Loaded, numbers: Numbers, absent: Absent
    ) -> Written:
        """Write all of ``changes``, which are not empty.

        Raises:
            Conflict: what was ``absent`` has been committed since.
        """
        rows = ChangedRows(changes, loaded, numbers, lambda *place: place)
        for table, source in self._sources.items():
            wanted = len(rows.unnumbered(table))
            if wanted:
                rows.number(table, await source.take(connection, wanted))
        token = random.getrandbits(63)
        text, values = write_query(rows, (token, changes.time, encode_topics(changes.topics)), absent)
        [(commit, transaction, appeared)] = await connection.fetch(text, *values)
        if appeared:
            raise Conflict
        for part in changes.cuts:
            await cut(connection, part, numbers)
        return Written(commit, token, transaction)


def write_query(rows: ChangedRows, commit: Row, absent: Absent) -> tuple[str, list[Any]]:
    """The statement that writes, and looks for what was absent; and its values."""
    chosen: list[int] = []
    values: list[Any] = []
    for place, found in rows.by_write(WRITES):
        chosen.append(place)
        values += zip(*found, strict=True)
    values += commit
    for table, keys in absent.items():
        values += KEYS[table].values(keys)
    return TEXTS.text(tuple(chosen), tuple(absent)), values
