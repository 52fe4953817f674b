"""All that the database keeps, in pages by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from flowstate_server.model.documents import encode_key
from flowstate_server.model.events import EventKey
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import understood
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.reads import (
    EVENT,
    EVENT_BYTES,
    EVENTS_FROM,
    OUTCOMES_FROM,
    SESSIONS_FROM,
    event_record,
)
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row, scope_key, state_key

Key = TypeVar("Key")
Record = TypeVar("Record")


class _Export(NamedTuple):
    """``query`` has the parts of a key, then the limits of a page, as its parameters; it is given ``first`` where
    there is no key yet."""

    query: str
    first: Row
    place: Callable[[Any], Row]
    key_of: Callable[[Row], Any]
    record_of: Callable[[Row], Any]


def _page(names: str, source: str, key: str, size: str = "0") -> str:
    """Rows behind a key, as far as their number and their bytes allow."""
    width = key.count(",") + 1
    place = ", ".join(f"${number}" for number in range(1, width + 1))
    return _bounded(names, f"{source} AND ({key}) > ({place})", key, size, width)


def _page_of_logs(table: str, number: str, names: str, rest: str, size: str = "0") -> str:
    """As :func:`_page`, of rows that lie in the logs of sessions. Each log is read on its own, so that no more logs are
    looked at than the page needs."""
    source = (
        "(SELECT s.tenant, s.session_id, s.log_id, x.* FROM (SELECT * FROM flowstate.sessions WHERE NOT replaced"
        " AND (tenant, session_id) >= ($1, $2) ORDER BY tenant, session_id) s CROSS JOIN LATERAL"
        f" (SELECT * FROM flowstate.{table} WHERE log = s.log AND {number} >"
        " CASE WHEN s.tenant = $1 AND s.session_id = $2 THEN $3 ELSE 0 END"
        f" ORDER BY {number} LIMIT $4) x ORDER BY s.tenant, s.session_id, x.{number} LIMIT $4) {rest}"
    )
    letter = rest[0]
    key = f"{letter}.tenant, {letter}.session_id, {letter}.{number}"
    return _bounded(f"{letter}.tenant, {letter}.session_id, {letter}.log_id, {names}", source, key, size, 3)


def _bounded(names: str, source: str, key: str, size: str, width: int) -> str:
    return (
        f"SELECT * FROM (SELECT {names}, row_number() OVER by_key AS place, sum({size}) OVER by_key AS bytes"
        f" FROM {source} WINDOW by_key AS (ORDER BY {key}) ORDER BY {key} LIMIT ${width + 1}) p"
        f" WHERE place = 1 OR bytes <= ${width + 2} ORDER BY place"
    )


def _session_key(row: Row) -> SessionKey:
    return SessionKey(*row[:2])


def _head_of_session(row: Row) -> Any:
    return rows.session_head(_session_key(row), row[2], row[3:])


EXPORTS: dict[Table[Any, Any], _Export] = {
    PROCESSES: _Export(
        _page(rows.PROCESS, "flowstate.processes p WHERE true", "p.process"),
        ("",),
        lambda key: (key,),
        lambda row: row[0],
        rows.process_record,
    ),
    SESSIONS: _Export(
        _page(rows.SESSION, "flowstate.sessions s WHERE NOT s.replaced", "s.tenant, s.session_id"),
        ("", ""),
        tuple,
        _session_key,
        rows.session_record,
    ),
    SESSION_HEADS: _Export(
        _page(
            f"s.tenant, s.session_id, s.log_id, {rows.SESSION_HEAD}",
            f"{SESSIONS_FROM} WHERE NOT s.replaced",
            "s.tenant, s.session_id",
        ),
        ("", ""),
        tuple,
        _session_key,
        _head_of_session,
    ),
    REQUESTS: _Export(
        _page(
            rows.REQUEST,
            f"{OUTCOMES_FROM} WHERE NOT s.replaced",
            "r.tenant, r.request_id",
            "octet_length(r.input) + coalesce(octet_length(o.output), 0)",
        ),
        ("", ""),
        tuple,
        lambda row: RequestKey(*row[2:4]),
        rows.whole_request,
    ),
    EVENTS: _Export(
        _page_of_logs("events", "session_sequence", EVENT, f"e {EVENTS_FROM}", EVENT_BYTES),
        ("", "", 0),
        lambda key: (*key.session, key.session_sequence),
        lambda row: EventKey(_session_key(row), row[4]),
        lambda row: event_record(row[3:], _session_key(row), row[2]),
    ),
    TURNS: _Export(
        _page_of_logs(
            "turns", "number", rows.TURN, "u LEFT JOIN flowstate.requests r ON r.request = u.request"
        ),
        ("", "", 0),
        lambda key: (*key.session, key.number),
        lambda row: TurnKey(_session_key(row), row[2], row[3]),
        lambda row: rows.turn_record(row[3:], _session_key(row), row[2]),
    ),
    STATES: _Export(
        _page(rows.STATE, "flowstate.states t WHERE true", rows.STATE_KEY, "octet_length(t.text)"),
        (0, "", "", ""),
        state_key,
        lambda row: scope_key(row[:4]),
        rows.state_record,
    ),
    DOCUMENTS: _Export(
        _page(rows.DOCUMENT, "flowstate.documents d WHERE true", "d.key", "octet_length(d.text)"),
        (b"",),
        lambda key: (encode_key(key),),
        lambda row: row[0],
        rows.document,
    ),
}


class PostgresExports(Exports):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        export = EXPORTS[table]
        beyond = export.first if after is None else export.place(after)
        found = await self._connections.fetch(export.query, *beyond, limit, max_bytes)
        # The last two columns have bounded the page.
        records = understood([tuple(row)[:-2] for row in found], export.key_of, export.record_of)
        return cast("list[Record]", [*records])
