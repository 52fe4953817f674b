"""All that the database keeps, in pages by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import understood
from flowstate_server.stores.contract.tables import DOCUMENTS, EVENTS, REQUESTS, STATES, TURNS, Table
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.reads import EVENT_BYTES, EVENTS_FROM
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.exports import EXPORTS

Key = TypeVar("Key")
Record = TypeVar("Record")


# Bytes of the records that have texts.
_SIZES: dict[Table[Any, Any], str] = {
    REQUESTS: "octet_length(r.input) + coalesce(octet_length(o.output), 0)",
    EVENTS: EVENT_BYTES,
    STATES: rows.STATE_SIZE,
    DOCUMENTS: "octet_length(d.text)",
}


def _page(table: Table[Any, Any]) -> str:
    """Rows behind a key, as far as their number and their bytes allow."""
    export = EXPORTS[table]
    place = ", ".join(f"${number}" for number in range(1, len(export.start) + 1))
    return _bounded(table, export.names, f"{export.source} AND ({export.key}) > ({place})", export.key)


def _page_of_logs(table: Table[Any, Any], letter: str, number: str, rest: str) -> str:
    """As :func:`_page`, of rows that lie in the logs of sessions. Each log is read on its own, so that no more logs are
    looked at than the page needs."""
    source = (
        "(SELECT s.tenant, s.session_id, s.log_id, x.* FROM (SELECT * FROM flowstate.sessions WHERE NOT replaced"
        " AND (tenant, session_id) >= ($1, $2) ORDER BY tenant, session_id) s CROSS JOIN LATERAL"
        f" (SELECT * FROM flowstate.{table.name} WHERE log = s.log AND {number} >"
        " CASE WHEN s.tenant = $1 AND s.session_id = $2 THEN $3 ELSE 0 END"
        f" ORDER BY {number} LIMIT $4) x ORDER BY s.tenant, s.session_id, x.{number} LIMIT $4) {letter} {rest}"
    )
    names = EXPORTS[table].names.format(sequence=f"e.{number}").replace("s.", f"{letter}.")
    return _bounded(table, names, source, f"{letter}.tenant, {letter}.session_id, {letter}.{number}")


def _bounded(table: Table[Any, Any], names: str, source: str, key: str) -> str:
    width = len(EXPORTS[table].start)
    return (
        f"SELECT * FROM (SELECT {names}, row_number() OVER by_key AS place,"
        f" sum({_SIZES.get(table, '0')}) OVER by_key AS bytes"
        f" FROM {source} WINDOW by_key AS (ORDER BY {key}) ORDER BY {key} LIMIT ${width + 1}) p"
        f" WHERE place = 1 OR bytes <= ${width + 2} ORDER BY place"
    )


QUERIES = {table: _page(table) for table, export in EXPORTS.items() if export.source} | {
    EVENTS: _page_of_logs(EVENTS, "e", "session_sequence", EVENTS_FROM),
    TURNS: _page_of_logs(TURNS, "u", "number", "LEFT JOIN flowstate.requests r ON r.request = u.request"),
}


class PostgresExports(Exports):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        export = EXPORTS[table]
        beyond = export.start if after is None else export.values(after)
        found = await self._connections.fetch(QUERIES[table], *beyond, limit, max_bytes)
        # The last two columns have bounded the page.
        records = understood([tuple(row)[:-2] for row in found], export.key_of, export.record_of)
        return cast("list[Record]", [*records])
