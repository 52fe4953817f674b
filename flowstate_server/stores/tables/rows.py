"""What queries read <-> records.

Both databases have the same tables with the same columns, but that SQLite has one integer, a place, for an event's
log and ``session_sequence``. What queries read names tables by the letters that every query gives them: ``s`` sessions,
``c`` session_heads, ``r`` requests, ``h`` request_heads, ``o`` outcomes, ``t`` states, ``u`` turns, ``e`` events,
``i`` items, ``p`` processes, ``d`` documents. Ids are text; free text, which may hold U+0000, and JSON are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.model.events import Event, EventRecord, LogHead
from flowstate_server.model.items import Item, ItemRecord
from flowstate_server.model.parsed_states import in_parts
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.model.state_parts import StateParts
from flowstate_server.stores.contract.pages import understood, understood_one
from flowstate_server.stores.contract.reads import SessionLife, SessionPosition
from flowstate_server.stores.tables import columns
from flowstate_server.stores.tables.columns import Columns
from flowstate_server.stores.tables.numbers import Row


@dataclass(slots=True)
class Numbers:
    """The integers that stand for sessions' incarnations and for requests, and those of the rows that were loaded."""

    logs: dict[tuple[SessionKey, str], int] = field(default_factory=dict)
    requests: dict[RequestKey, int] = field(default_factory=dict)
    states: dict[ScopeKey, int] = field(default_factory=dict)
    documents: dict[DocumentKey, int] = field(default_factory=dict)


SESSION = columns.SESSION.of("s")
SESSION_HEAD = columns.SESSION_HEAD.of("c")
SESSION_WITH_HEAD = f"s.log, {SESSION_HEAD}, {SESSION}"


def session_record(row: Row) -> SessionRecord:
    """From the columns ``SESSION``."""
    tenant, session_id, *others = columns.SESSION.read(row)
    return SessionRecord(SessionKey(tenant, session_id), *others)


def session_key(row: Row) -> SessionKey:
    """From the columns ``SESSION``."""
    return SessionKey(*row[:2])


def listed_place(row: Row) -> SessionPosition:
    """Where in a list the session is, from the columns ``SESSION``."""
    return SessionPosition(row[7], row[1])


def session_with_head(row: Row) -> tuple[int, SessionRecord, SessionHead]:
    """The number of the session's log, and its records, from the columns ``SESSION_WITH_HEAD``.

    Raises:
        DamagedRecord: it can't be understood.
    """
    log, sequence, turns, activity_time, floor, *session = row
    key = SessionKey(session[0], session[1])
    record = understood_one(key, tuple(session), session_record)
    return log, record, SessionHead(key, record.log_id, sequence, turns, activity_time, floor)


SESSION_LIFE = f"s.tenant, s.session_id, s.log_id, s.flow_kind, s.ephemeral, {SESSION_HEAD}"


def session_life(row: Row) -> SessionLife:
    """From the columns ``SESSION_LIFE``."""
    tenant, session_id, log_id, flow_kind, ephemeral, *counters = row
    key = SessionKey(tenant, session_id)
    return SessionLife(key, log_id, flow_kind, bool(ephemeral), SessionHead(key, log_id, *counters))


REQUEST_HEAD = (
    "h.request, h.log, r.tenant, r.request_id, s.tenant, s.session_id, s.log_id, r.log_id, r.user_id, r.fingerprint, "
    "h.process, h.status, r.create_time, h.cancel_reason, h.attempt, h.sequence, h.end_time, r.gate, "
    "h.start_time"
)
_BINDING = "r.flow_kind, r.action, r.org_id, r.scopes"
_CALL = "r.timeout, r.trace, r.correlation_id"
REQUEST = f"{REQUEST_HEAD}, {_BINDING}, r.input, {_CALL}, {columns.OUTCOME.of('o')}"
RUNNING_REQUEST = f"{REQUEST_HEAD}, {_BINDING}, NULL, {_CALL}, NULL, NULL, NULL"
"""As ``REQUEST``, without its texts."""
LISTED_REQUEST = f"{REQUEST_HEAD}, {_BINDING}, NULL, {_CALL}, NULL, o.failure, o.reason"
"""As ``REQUEST``, without input and output."""

_CANCEL_REASON = 7
"""Its place among the columns behind the keys."""
_HEAD = Columns(" ".join([name.partition(".")[2] for name in REQUEST_HEAD.split(", ")]))
_REST = Columns("flow_kind action org_id scopes input timeout trace correlation_id output failure reason")


def request_key(row: Row) -> RequestKey:
    """From the columns ``REQUEST_HEAD``."""
    return RequestKey(*row[2:4])


def request_place(row: Row) -> tuple[Any, Any]:
    """Where in a list the request is, from the columns ``REQUEST_HEAD``: its create time and id."""
    return row[12], row[3]


def request_head(row: Row) -> RequestHead:
    """From the columns ``REQUEST_HEAD``."""
    _, _, tenant, request_id, session_tenant, session_id, *others = _HEAD.read(row)
    cancel_reason = others[_CANCEL_REASON]
    others[_CANCEL_REASON : _CANCEL_REASON + 1] = cancel_reason is not None, cancel_reason or ""
    return RequestHead(RequestKey(tenant, request_id), SessionKey(session_tenant, session_id), *others)


def request_record(row: Row) -> RequestRecord:
    """From the columns ``REQUEST``."""
    return RequestRecord(request_head(row[: _HEAD.width]), *_REST.read(row[_HEAD.width :]))


class Log(NamedTuple):
    """The log of a request or a session, which has that number, and the session's incarnation that it belongs to."""

    number: int
    head: LogHead
    session: SessionKey
    log_id: str


def log_of(key: LogKey, row: Row) -> Log:
    """From the columns ``REQUEST_HEAD`` or ``SESSION_WITH_HEAD``.

    Raises:
        DamagedRecord: they can't be understood.
    """
    if isinstance(key, RequestKey):
        request = understood_one(key, row, request_head)
        head = LogHead(request.log_id, request.sequence, request.status.ended)
        return Log(row[0], head, request.session, request.session_log_id)
    number, session, counters = session_with_head(row)
    head = LogHead(session.log_id, counters.sequence, session.deleted, counters.floor)
    return Log(number, head, key, session.log_id)


TURN = f"u.number, r.request_id, {columns.TURN.of('u')}"


def turn_record(row: Row, session: SessionKey, log_id: str) -> TurnRecord:
    """From the columns ``TURN``, where the request may be missing."""
    number, request_id, first, last = row
    return TurnRecord(TurnKey(session, log_id, number), request_id or "", first, last)


KEPT_STATE = f"{columns.STATE.of('t')}, t.base, t.size"
"""A state as its row has it: without its text where that is in parts."""
_PARTS = "FROM flowstate.state_parts p WHERE p.state = t.state AND p.version"
PATCHES = f"(SELECT string_agg(p.text, '\\x0a'::bytea ORDER BY p.version) {_PARTS} > t.base)"
STATE_PARTS = f"(SELECT p.text {_PARTS} = t.base), {PATCHES}"
"""The text that the patches are of, and these, a line each."""
_IF_IN_PARTS = ", ".join(
    f"CASE WHEN t.base IS NOT NULL THEN {part} END" for part in STATE_PARTS.split(", ", 1)
)
STATE = f"{KEPT_STATE}, {_IF_IN_PARTS}"
STATE_SIZE = "coalesce(t.size, octet_length(t.text))"
STATE_HEAD = columns.STATE_HEAD.of("t")
STATE_KEY = "t.kind, t.tenant, t.id, t.flow_kind"
STATE_HEAD_WIDTH = columns.STATE_HEAD.width


def state_head(row: Row) -> StateHead:
    """From the columns ``STATE_HEAD``."""
    kind, tenant, id, flow_kind, *others = columns.STATE_HEAD.read(row)
    return StateHead(ScopeKey(kind, tenant, id, flow_kind), *others)


def kept_state(row: Row) -> StateRecord:
    """What the row has of it, from the columns ``KEPT_STATE``."""
    kind, tenant, id, flow_kind, *others = columns.STATE.read(row)
    return StateRecord(ScopeKey(kind, tenant, id, flow_kind), *others)


def state_record(row: Row) -> StateRecord:
    """From the columns ``STATE``, of which the last two may be missing where the state is in no parts."""
    record = kept_state(row)
    base, size = kept_parts(row)
    if base is None:
        return record
    text, patches = row[columns.STATE.width + 2 :]
    patches = patches or b""
    count = patches.count(b"\n") + bool(patches)
    stored = bytes(text), bytes(patches)
    return in_parts(record, StateParts(object(), size, base, count, len(patches), (), stored))


def kept_parts(row: Row) -> tuple[int | None, int]:
    """The version of the text in parts, if it is, and the size of the whole, from the columns ``KEPT_STATE``.

    A text in the row is the newer one: it was written by who does not know of parts.
    """
    base, size = row[columns.STATE.width : columns.STATE.width + 2]
    return base if row[_STATE_TEXT] == b"" else None, size


_STATE_TEXT = columns.STATE.names.split(", ").index("text")
"""Its place among the columns."""


EVENT = f"{columns.EVENT.of('e')}, {columns.ITEM.of('i')}"
"""After the event's ``request_id`` and ``session_sequence``."""
ITEM = columns.ITEM.of("i")
_ITEM_AT = 2 + columns.EVENT.width


def event_record(row: Row, session: SessionKey, log_id: str) -> EventRecord:
    """From ``request_id``, ``session_sequence`` and the columns ``EVENT``."""
    sequence, time, type, payload, audiences, transient, block_path = columns.EVENT.read(row[2:_ITEM_AT])
    item = None if row[_ITEM_AT] is None else _item(row[_ITEM_AT:])
    event = Event(type, payload, audiences, transient, block_path, item)
    return EventRecord(event, session, log_id, row[1], row[0] or "", sequence, time)


def events_of(key: LogKey, log: Log, found: Iterable[Row]) -> Iterator[EventRecord]:
    """From rows as for :func:`event_record`.

    Raises:
        DamagedRecord: one can't be understood.
    """
    sequence = 2 if isinstance(key, RequestKey) else 1
    return understood(
        found,
        lambda row: (*key, row[sequence]),
        lambda row: event_record(row, log.session, log.log_id),
    )


def item_record(row: Row, session: SessionKey, log_id: str) -> ItemRecord:
    """From ``session_sequence``, ``i.time``, ``r.request_id``, ``u.number`` and the columns ``ITEM``."""
    session_sequence, time, request_id, turn, *item = row
    return ItemRecord(_item(item), session, log_id, request_id or "", session_sequence, time, turn)


def turn_order(row: Row) -> tuple[int, int, int]:
    """By turn, by the item's index in it, by place: from what :func:`item_record` is made of."""
    return row[3], row[6], row[0]


def _item(row: Sequence[Any]) -> Item:
    return Item(*columns.ITEM.read(row))


PROCESS = columns.PROCESS.of("p")
DOCUMENT = columns.DOCUMENT.of("d")


def process_record(row: Row) -> ProcessRecord:
    """From the columns ``PROCESS``."""
    return ProcessRecord(*columns.PROCESS.read(row))


def document(row: Row) -> Document:
    """From the columns ``DOCUMENT``."""
    return Document(*columns.DOCUMENT.read(row))
