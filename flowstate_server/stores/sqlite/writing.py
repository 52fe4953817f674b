"""Writing what a group has changed: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import sqlite3

from flowstate_server.stores.contract.tables import Changes, Loaded
from flowstate_server.stores.sqlite.deleted_sessions import cut
from flowstate_server.stores.sqlite.many_rows import many_rows
from flowstate_server.stores.sqlite.places import place_of
from flowstate_server.stores.tables.changes import ChangedRows, writes
from flowstate_server.stores.tables.numbers import encode_topics
from flowstate_server.stores.tables.rows import Numbers

WRITES = writes(place="place")
STATEMENTS = [many_rows(write) for write in WRITES]
COMMIT = "INSERT INTO commits (time, topics) VALUES (?, ?)"


def write(cursor: sqlite3.Cursor, changes: Changes, loaded: Loaded, numbers: Numbers) -> int:
    """Write all of ``changes`` of what was ``loaded``, adding the numbers of new rows to ``numbers``.

    Returns the number of its row in ``commits``, 0 if it wakes nobody.
    """
    changed = ChangedRows(changes, loaded, numbers, lambda log, sequence: (place_of(log, sequence),))
    for position, rows in changed.by_write(WRITES):
        one, statement = WRITES[position], STATEMENTS[position]
        if one.numbered:
            changed.number(one.of, statement.insert(cursor, rows))
        else:
            statement.run(cursor, rows)
    for part in changes.cuts:
        cut(cursor, part, numbers)
    if not changes.topics:
        return 0
    cursor.execute(COMMIT, (changes.time, encode_topics(changes.topics)))
    return cursor.lastrowid or 0
