"""The rows by which sessions are listed: which ones a group adds and removes, and those of the sessions of an older
schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flowstate_server.model.records import SessionRecord
from flowstate_server.model.session_labels import session_labels
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.tables import SESSIONS, Changes, Loaded
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row
from flowstate_server.stores.tables.rows import Numbers

COLUMNS = "tenant, label, ephemeral, create_time, session_id, log"
WIDTH = 6

LABELLED = (
    f"SELECT {rows.SESSION}, s.log FROM flowstate.sessions s WHERE s.log > $1 AND NOT s.replaced AND s.delete_time = 0"
    " AND (s.tags IS NOT NULL OR s.metadata IS NOT NULL) ORDER BY s.log LIMIT $2"
)
"""Sessions that have labels, from beyond a log."""
AT_ONCE = 500
"""Sessions that a migration reads at once: each may have 80 KiB of tags and metadata."""


class LabelChanges(NamedTuple):
    new: list[Row]
    removed: list[Row]


def changed_labels(changes: Changes, loaded: Loaded, numbers: Numbers) -> LabelChanges:
    """What becomes of the rows. The numbers of new sessions have to be known."""
    new: list[Row] = []
    removed: list[Row] = []
    known = loaded.of(SESSIONS)
    for session in changes.put_of(SESSIONS):
        before = known.get(session.key)
        if before is None and not (session.tags or session.metadata):
            continue  # as most are that runs begin with
        now = {*_rows(session, numbers.logs[session.key, session.log_id])}
        was = set() if before is None else {*_rows(before, numbers.logs[before.key, before.log_id])}
        if now != was:
            new += now - was
            removed += was - now
    return LabelChanges(new, removed)


def labels_of(found: Iterable[Row]) -> list[Row]:
    """The rows of sessions that ``LABELLED`` has found. One that is damaged has none, and is not listed either."""
    sessions = those_understood(found, rows.session_key, lambda row: (rows.session_record(row[:-1]), row[-1]))
    return [row for session, log in sessions for row in _rows(session, log)]


def _rows(session: SessionRecord, log: int) -> Iterator[Row]:
    for label in session_labels(session):
        yield (
            session.key.tenant,
            label,
            session.ephemeral,
            session.create_time,
            session.key.session_id,
            log,
        )
