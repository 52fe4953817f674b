"""Whether a database holds only whole things, read from its tables and not through the store."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

IN_PROGRESS, COMPLETED, FAILED, INTERRUPTED = 0, 1, 2, 4
ITEM_DELTA, ITEM_DONE, STATE_CHANGE, CUSTOM = 11, 12, 13, 16
_TERMINAL = "type BETWEEN 3 AND 6"
_OPEN = (IN_PROGRESS, 5, 6)
_REQUEST_SCOPE, _SESSION_SCOPE = 1, 2

BROKEN = {
    "sessions without head": "SELECT log FROM sessions WHERE log NOT IN (SELECT log FROM session_heads)",
    "requests without head": "SELECT request_id FROM requests WHERE request NOT IN"
    " (SELECT request FROM request_heads)",
    "heads without request or session": "SELECT request FROM request_heads WHERE request NOT IN"
    " (SELECT request FROM requests) OR log NOT IN (SELECT log FROM sessions)",
    "request logs that are not 1..n": "SELECT h.request, h.sequence, e.lowest, e.highest, e.events"
    " FROM request_heads h LEFT JOIN (SELECT request, count(*) events, min(sequence) lowest,"
    "  max(sequence) highest FROM events WHERE request IS NOT NULL GROUP BY request) e ON e.request = h.request"
    " WHERE (h.sequence, h.sequence, 1) IS NOT (e.events, e.highest, e.lowest)",
    "session logs that are not 1..n": "SELECT h.log, h.sequence, e.highest, e.events FROM session_heads h"
    " LEFT JOIN (SELECT place >> 32 log, count(*) events, max(place & 0xFFFFFFFF) highest FROM events"
    "  GROUP BY place >> 32) e ON e.log = h.log"
    " WHERE (h.sequence, h.sequence) IS NOT (coalesce(e.events, 0), coalesce(e.highest, 0))",
    "events of a request in another order in its session": "SELECT request, sequence FROM (SELECT request,"
    " sequence, lag(sequence, 1, 0) OVER (PARTITION BY request ORDER BY place) earlier FROM events"
    " WHERE request IS NOT NULL) WHERE sequence <> earlier + 1",
    "ends without their event, or the other way round": "SELECT h.request, h.status FROM request_heads h"
    f" WHERE (SELECT count(*) FROM events e WHERE e.request = h.request AND {_TERMINAL}) <> (h.open = 0)"
    " OR h.open = 0 AND h.status + 2 <> (SELECT type FROM events e WHERE e.request = h.request"
    "  AND e.sequence = h.sequence)",
    "statuses whose open bit is wrong": f"SELECT request FROM request_heads WHERE open <> (status IN {_OPEN})",
    "item.done without item": f"SELECT place FROM events WHERE type = {ITEM_DONE} AND NOT transient AND place NOT IN"
    " (SELECT place FROM items)",
    "items without item.done": "SELECT i.place FROM items i LEFT JOIN events e ON e.place = i.place"
    f" AND e.request IS i.request AND e.type = {ITEM_DONE} WHERE e.place IS NULL",
    "completed without output": f"SELECT request FROM request_heads WHERE status = {COMPLETED}"
    " AND request NOT IN (SELECT request FROM outcomes WHERE output IS NOT NULL)",
    "outcomes ahead of the end": "SELECT o.request FROM outcomes o JOIN request_heads h USING (request)"
    " WHERE h.open = 1",
    "turns that are not 1..n": "SELECT s.log, s.turns FROM session_heads s LEFT JOIN (SELECT log,"
    " count(*) turns, max(number) last FROM turns GROUP BY log) r ON r.log = s.log"
    " WHERE (s.turns, s.turns) IS NOT (coalesce(r.turns, 0), coalesce(r.last, 0))",
    "completed without turn": "SELECT h.request FROM request_heads h"
    " LEFT JOIN turns t ON (t.log, t.request) = (h.log, h.request)"
    f" WHERE (t.number IS NOT NULL) <> (h.status = {COMPLETED})",
    "states of ended requests": "SELECT s.id FROM states s JOIN requests r"
    " ON (r.tenant, r.request_id) = (s.tenant, s.id) JOIN request_heads h ON h.request = r.request"
    f" WHERE s.kind = {_REQUEST_SCOPE} AND h.open = 0",
    "session states with more or fewer versions than changes": "SELECT s.id, s.version, e.changes FROM states s"
    " JOIN sessions o ON (o.tenant, o.session_id, o.replaced) = (s.tenant, s.id, 0)"
    " LEFT JOIN (SELECT place >> 32 log, count(*) changes FROM events"
    f"  WHERE type = {STATE_CHANGE} GROUP BY place >> 32) e ON e.log = o.log"
    f" WHERE s.kind = {_SESSION_SCOPE} AND s.version <> coalesce(e.changes, 0)",
}
"""What must not be there: for each name a query that finds it. Transient events must not have been swept."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database:
        yield database


def copy_database(path: Path, to: Path) -> Path:
    """The files as a dead process left them; whoever opens the copy recovers the copy alone."""
    to.mkdir(parents=True, exist_ok=True)
    copy = to / path.name
    for suffix in ("", "-wal", "-shm"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
        if suffix != "-shm" and Path(f"{path}{suffix}").exists():
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


def assert_whole(database: sqlite3.Connection) -> None:
    """Nothing half-written: the file is sound, and none of :data:`BROKEN` is found."""
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for what, query in BROKEN.items():
        found = database.execute(query).fetchmany(5)
        assert not found, f"{what}: {found}"


def unfinished(database: sqlite3.Connection) -> Sequence[str]:
    """The ids of the requests in progress."""
    query = (
        "SELECT r.request_id FROM requests r JOIN request_heads h USING (request)"
        f" WHERE h.status = {IN_PROGRESS}"
    )
    return [request_id for (request_id,) in database.execute(query)]


def statuses_of(database: sqlite3.Connection, request_ids: Sequence[str]) -> Sequence[int]:
    query = "SELECT status FROM requests JOIN request_heads USING (request) WHERE request_id = ?"
    return [status for one in request_ids for (status,) in database.execute(query, (one,))]
