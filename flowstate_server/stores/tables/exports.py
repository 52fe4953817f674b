"""All that a database with tables keeps, in pages by key: one description for each table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flowstate_server.model.documents import encode_key
from flowstate_server.model.events import EventKey
from flowstate_server.model.records import SessionHead, TurnKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.numbers import Row, scope_key, state_key


class Export(NamedTuple):
    """``names`` of ``source`` are a record's, which sorts by the columns ``key``. Their values are ``start`` before the
    first one, and ``values`` of a given key.

    What lies in the logs of sessions has no ``source``: how a page of it goes on from one log to the next is up to the
    database.
    """

    names: str
    source: str
    key: str
    start: Row
    values: Callable[[Any], Row]
    key_of: Callable[[Row], Any]
    record_of: Callable[[Row], Any]


_SESSION = "s.tenant, s.session_id"
_INCARNATION = f"{_SESSION}, s.log_id"


def _incarnation(row: Row) -> tuple[SessionKey, str]:
    """What ``_INCARNATION`` holds, in which names begin."""
    return rows.session_key(row), row[2]


EXPORTS: dict[Table[Any, Any], Export] = {
    tables.PROCESSES: Export(
        rows.PROCESS,
        "flowstate.processes p WHERE true",
        "p.process",
        start=("",),
        values=lambda key: (key,),
        key_of=lambda row: row[0],
        record_of=rows.process_record,
    ),
    tables.SESSIONS: Export(
        rows.SESSION,
        "flowstate.sessions s WHERE NOT s.replaced",
        _SESSION,
        start=("", ""),
        values=tuple,
        key_of=rows.session_key,
        record_of=rows.session_record,
    ),
    tables.SESSION_HEADS: Export(
        f"{_INCARNATION}, {rows.SESSION_HEAD}",
        f"{queries.SESSIONS} WHERE NOT s.replaced",
        _SESSION,
        start=("", ""),
        values=tuple,
        key_of=rows.session_key,
        record_of=lambda row: SessionHead(*_incarnation(row), *row[3:]),
    ),
    tables.REQUESTS: Export(
        rows.REQUEST,
        f"{queries.OUTCOMES} WHERE NOT s.replaced",
        "r.tenant, r.request_id",
        start=("", ""),
        values=tuple,
        key_of=rows.request_key,
        record_of=rows.request_record,
    ),
    tables.EVENTS: Export(
        f"{_INCARNATION}, r.request_id, {{sequence}}, {rows.EVENT}",
        "",
        "",
        start=("", "", 0),
        values=lambda key: (*key.session, key.session_sequence),
        key_of=lambda row: EventKey(rows.session_key(row), row[4]),
        record_of=lambda row: rows.event_record(row[3:], *_incarnation(row)),
    ),
    tables.TURNS: Export(
        f"{_INCARNATION}, {rows.TURN}",
        "",
        "",
        start=("", "", 0),
        values=lambda key: (*key.session, key.number),
        key_of=lambda row: TurnKey(*_incarnation(row), row[3]),
        record_of=lambda row: rows.turn_record(row[3:], *_incarnation(row)),
    ),
    tables.STATES: Export(
        rows.STATE,
        "flowstate.states t WHERE true",
        rows.STATE_KEY,
        start=(0, "", "", ""),
        values=state_key,
        key_of=lambda row: scope_key(row[:4]),
        record_of=rows.state_record,
    ),
    tables.DOCUMENTS: Export(
        rows.DOCUMENT,
        "flowstate.documents d WHERE true",
        "d.key",
        start=(b"",),
        values=lambda key: (encode_key(key),),
        key_of=lambda row: row[0],
        record_of=rows.document,
    ),
}
