"""Several queries, or several writes, as one statement: one round trip, and one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from flowstate_server.model.documents import DocumentKey, encode_key
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.tables.changes import Write
from flowstate_server.stores.tables.numbers import Row, state_key

Key = TypeVar("Key")

TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS time"

_COLUMNS = {
    "smallint": "kind status type audiences",
    "boolean": "replaced ephemeral open unswept present transient removed fenced",
    "text": "tenant session_id log_id flow_kind user_id org_id request_id action process id incarnation schema_hash",
    "bytea": (
        "title description tags metadata fingerprint scopes gate trace correlation_id input cancel_reason output"
        " failure reason generations text block_path payload item_id role name content key topics low high label"
    ),
}
_TYPES = {column: type_ for type_, columns in _COLUMNS.items() for column in columns.split()}
"""Of all columns that are no integers of 8 bytes; a name has the same type in all tables."""


def unnested(first: int, names: str, alias: str) -> str:
    """Rows of the columns ``names`` from arrays, the parameters from ``$first`` on."""
    parameters = ", ".join(
        f"${number}::{_TYPES.get(name, 'bigint')}[]" for number, name in enumerate(names.split(", "), first)
    )
    return f"unnest({parameters}) AS {alias}({names})"


def columns(rows: Sequence[Row], width: int) -> list[Sequence[Any]]:
    """The arrays that ``rows`` are given as."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


class Keys(Generic[Key]):
    """How a statement is given keys of a table, in the columns ``names``."""

    def __init__(self, table: str, names: str, row_of: Callable[[Key], Row]) -> None:
        self.width = names.count(",") + 1
        self._table = table
        self._names = names
        self.row_of = row_of

    def found(self, first: int, alias: str = "x") -> str:
        """What to read ``FROM`` for the rows that have the keys given from ``$first`` on."""
        on = [f"{alias}.{name} = k.{name}" for name in self._names.split(", ")]
        if self._table == "sessions":
            on.append(f"NOT {alias}.replaced")
        rows = unnested(first, self._names, "k")
        return f"{rows} JOIN flowstate.{self._table} {alias} ON {' AND '.join(on)}"

    def values(self, keys: Iterable[Key]) -> list[Sequence[Any]]:
        return columns([self.row_of(key) for key in keys], self.width)


STATE_KEYS = Keys[ScopeKey]("states", "kind, tenant, id, flow_kind", state_key)
DOCUMENT_KEYS = Keys[DocumentKey]("documents", "key", lambda key: (encode_key(key),))

KEYS: dict[Table[Any, Any], Keys[Any]] = {
    tables.SESSIONS: Keys[SessionKey]("sessions", "tenant, session_id", tuple),
    tables.REQUEST_HEADS: Keys[RequestKey]("requests", "tenant, request_id", tuple),
    tables.STATES: STATE_KEYS,
    tables.PROCESSES: Keys[str]("processes", "process", lambda key: (key,)),
    tables.DOCUMENTS: DOCUMENT_KEYS,
}


def together(queries: Iterable[tuple[int, str]]) -> str:
    """One query whose rows are ``(number, row of that query)``; the queries run one after another."""
    return " UNION ALL ".join(
        f"SELECT {number} AS part, x AS row FROM ({query}) x" for number, query in queries
    )


def any_of(looked_for: Iterable[Table[Any, Any]], first: int) -> str:
    """Whether any of the keys given from ``$first`` on is there, for each of the tables ``looked_for``."""
    parts: list[str] = []
    for table in looked_for:
        keys = KEYS[table]
        parts.append(f"EXISTS (SELECT 1 FROM {keys.found(first)})")
        first += keys.width
    return " OR ".join(parts) or "false"


def page(names: str, source: str, key: str, size: str, limit: str, max_bytes: str) -> str:
    """The first ``limit`` rows of ``source`` by ``key``, those before ``size`` exceeds ``max_bytes``, but one at least.

    Each ends with the number of rows that ``source`` has, its own number, and the bytes so far. Of the rows that are
    left out no document is read.
    """
    return (
        f"SELECT * FROM (SELECT {names}, count(*) OVER () AS found, row_number() OVER by_key AS place,"
        f" sum({size}) OVER by_key AS bytes FROM {source} WINDOW by_key AS (ORDER BY {key})) p"
        f" WHERE place = 1 OR (place <= {limit} AND bytes <= {max_bytes}) ORDER BY place"
    )


def _done(write: Write, rows: str, before: str) -> str:
    """The statement that does ``write`` of ``rows``, which are called ``new``, once ``before`` is done."""
    table, names, done = f"flowstate.{write.table}", write.columns, " RETURNING 1" if write.ordered else ""
    if write.kind == "new":
        after = f" WHERE (SELECT count(*) FROM {before}) >= 0" if write.ordered and before else ""
        return f"INSERT INTO {table} ({names}) SELECT {names} FROM {rows}{after}{done}"
    same = " AND ".join(f"old.{name} = new.{name}" for name in write.key.split(", "))
    if write.kind == "removed":
        return f"DELETE FROM {table} old USING {rows} WHERE {same}"
    changes = ", ".join(
        f"{name} = old.{name} OR new.{name}" if name == write.noted else f"{name} = new.{name}"
        for name in write.names.split(", ")
    )
    return f"UPDATE {table} old SET {changes} FROM {rows} WHERE {same}{done}"


class WriteTexts:
    """The texts of statements that do several of ``writes``, each made once."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self._writes = writes
        self._texts: dict[tuple[Any, ...], str] = {}

    def text(self, chosen: tuple[int, ...], absent: tuple[Table[Any, Any], ...]) -> str:
        """The statement that does the chosen writes, by their places, and notes the commit. It answers which one that
        is, and whether there is what was ``absent``."""
        text = self._texts.get((chosen, absent))
        if text is None:
            text = self._compose([self._writes[place] for place in chosen], absent)
            self._texts[chosen, absent] = text
        return text

    def _compose(self, writes: list[Write], absent: tuple[Table[Any, Any], ...]) -> str:
        parts: list[str] = []
        first = 1
        before = ""
        for write in writes:
            name = write.rows.__name__
            parts.append(f"{name} AS ({_done(write, unnested(first, write.columns, 'new'), before)})")
            first += write.columns.count(",") + 1
            if write.ordered:
                before = name
        commit = f"INSERT INTO flowstate.commits (token, time, topics) VALUES (${first}, ${first + 1}, ${first + 2})"
        return (
            f"WITH {', '.join([*parts, f'new_commits AS ({commit} RETURNING id)'])}"
            " SELECT (SELECT id FROM new_commits), pg_current_xact_id()::text::bigint,"
            f" {any_of(absent, first + 3)}"
        )
