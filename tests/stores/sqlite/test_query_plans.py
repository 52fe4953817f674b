import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.lists import RequestFilter, RequestPosition
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import EVENTS, EXPORTED, Table
from flowstate_server.stores.sqlite import (
    blob_pieces,
    deleted_sessions,
    documents,
    exports,
    lease_renewal,
    lists,
    loading,
    migrations,
    reads,
    sweeps,
    writing,
)
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.many_rows import MOST_ROWS, ManyRows
from flowstate_server.stores.tables import queries
from flowstate_server.stores.tables.exports import EXPORTS
from flowstate_server.stores.tables.request_lists import KEY, list_query, scan_query
from flowstate_server.stores.tables.session_queries import Bound, leads


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrations.migrate(database, path)
        yield database


def plan(database: sqlite3.Connection, query: str) -> list[str]:
    """Its steps, of which there are some: a plain INSERT has none, and would pass for well planned."""
    numbered = [int(number) for number in re.findall(r"\?(\d+)", query)]
    values = (1,) * (max(numbered) if numbered else query.count("?"))
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert [step for step in steps if step.startswith(("SEARCH", "SCAN"))], query
    # An index made for this one query reads the whole table, but calls itself a search.
    assert "AUTOMATIC" not in "".join(steps), steps
    return steps


def statements(*modules: ModuleType) -> dict[str, str]:
    """All that change or read rows; what begins with ``_`` is part of one."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": text
        for module in modules
        for name, text in vars(module).items()
        if not name.startswith("_")
        and isinstance(text, str)
        and text.startswith(("SELECT ", "UPDATE ", "DELETE "))
    }


STATEMENTS = statements(
    blob_pieces, deleted_sessions, lease_renewal, lists, loading, reads, sweeps, writing
) | {name: in_sqlite(query) for name, query in statements(queries).items()}

SMALL = {"queries.PROCESSES", "reads.NEWEST_TIME", "sweeps.PROCESSES", "sweeps.COMMITS"}
"""They scan the processes, of which there are few, or the newest or oldest commits."""

STEPS = (
    "SEARCH",
    "LIST SUBQUERY",
    "SCALAR SUBQUERY",
    "CORRELATED SCALAR SUBQUERY",
    "COMPOUND QUERY",
    "LEFT-MOST SUBQUERY",
    "UNION ALL",
    # The patches of one state, found by key, one after the other.
    "CO-ROUTINE p",
    "SCAN p",
)


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - SMALL))
def test_it_searches_by_index_and_sorts_nothing(database: sqlite3.Connection, name: str) -> None:
    for step in plan(database, STATEMENTS[name]):
        assert step.startswith(STEPS), step


@pytest.mark.parametrize(
    ("query", "step"),
    [
        (documents.RANGE_UP, "SEARCH d USING INDEX documents_by_key (key>? AND key<?)"),
        (documents.RANGE_DOWN, "SEARCH d USING INDEX documents_by_key (key>? AND key<?)"),
        (reads.SESSION_EVENTS, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (reads.REQUEST_EVENTS, "SEARCH e USING INDEX events_by_request (request=? AND sequence>?)"),
        (reads.TURN_ITEMS, "SEARCH u USING PRIMARY KEY (log=? AND number>?)"),
        (reads.TURN_ITEMS, "SEARCH i USING INDEX items_by_request (request=?)"),
        (reads.TURN_ITEMS, "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (lists.TURNS_DOWN, "SEARCH u USING PRIMARY KEY (log=? AND number>? AND number<?)"),
        (
            f"{lists.ITEMS_IN_LOG} ORDER BY i.place",
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            f"{lists.ITEMS_OF_REQUEST} ORDER BY i.place DESC",
            "SEARCH i USING INDEX items_by_request (request=? AND rowid>? AND rowid<?)",
        ),
        (lists.PLACES_OF_REQUEST, "SEARCH i USING INDEX items_by_request (request=?)"),
        (reads.OPEN_IN_SESSION, "SEARCH h USING INDEX request_heads_open (log=?)"),
        (in_sqlite(queries.RUNNING), "SEARCH h USING INDEX request_heads_of_process (process=?)"),
        (in_sqlite(queries.CANCELLED), "SEARCH h USING INDEX request_heads_of_process (process=?)"),
        (deleted_sessions.LEFT, "SEARCH sessions USING INDEX sessions_deleted (emptied=? AND delete_time>?)"),
        (
            deleted_sessions.TOMBSTONES,
            "SEARCH sessions USING INDEX sessions_deleted (emptied=? AND delete_time>",
        ),
        (deleted_sessions.REQUESTS, "SEARCH request_heads USING INDEX request_heads_removed (end_time<?)"),
        (deleted_sessions.EVENTS, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (in_sqlite(queries.WALK), "SEARCH s USING INDEX sessions_by_id ((tenant,session_id)>(?,?))"),
        (in_sqlite(queries.OLDEST_TURNS), "SEARCH u USING PRIMARY KEY (log=?)"),
        (reads.STATE_PARTS, "SEARCH p USING INDEX sqlite_autoindex_state_parts_1 (state=? AND version=?)"),
        (
            reads.STATE_PARTS,
            "SEARCH state_parts USING INDEX sqlite_autoindex_state_parts_1 (state=? AND version>?)",
        ),
        (documents.EXPIRED, "SEARCH documents USING COVERING INDEX documents_by_expiry"),
    ],
)
def test_it_reads_what_it_gives_and_nothing_else(database: sqlite3.Connection, query: str, step: str) -> None:
    steps = plan(database, query)
    assert any(found.startswith(step) for found in steps), steps


def test_every_exported_table_is_described() -> None:
    assert exports.QUERIES.keys() == EXPORTS.keys() == set(EXPORTED)


@pytest.mark.parametrize("table", EXPORTED, ids=lambda table: table.name)
def test_an_export_goes_on_by_key_and_sorts_nothing(
    database: sqlite3.Connection, table: Table[object, object]
) -> None:
    steps = plan(database, exports.QUERIES[table])
    assert all(step.startswith(STEPS) for step in steps), steps
    assert ">(" in steps[0] or ">?" in steps[0], steps


def test_an_export_of_events_starts_within_a_session(database: sqlite3.Connection) -> None:
    steps = plan(database, exports.QUERIES[EVENTS])
    assert steps[:2] == [
        "SEARCH s USING INDEX sessions_by_id ((tenant,session_id)>(?,?))",
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ]


MANY = {
    "find requests that are there": (loading.PRESENT_REQUESTS, 2),
    "find documents that are there": (documents.PRESENT, 1),
} | {
    write.rows.__name__: (statement, write.columns.count(",") + 1)
    for write, statement in zip(writing.WRITES, writing.STATEMENTS, strict=True)
    if write.kind != "new"
}


def test_all_that_write_many_rows_are_known() -> None:
    modules = (writing, loading, documents)
    named = [one for module in modules for one in vars(module).values() if isinstance(one, ManyRows)]
    changing = [one for one in [*named, *writing.STATEMENTS] if "INSERT" not in one._text]
    assert {id(statement) for statement, _ in MANY.values()} == {id(one) for one in changing}
    assert len(changing) == len(MANY) == 22


@pytest.mark.parametrize("count", [1, 3, MOST_ROWS])
@pytest.mark.parametrize("name", MANY)
def test_many_rows_are_each_searched_by_index(database: sqlite3.Connection, name: str, count: int) -> None:
    statement, width = MANY[name]
    steps = plan(database, statement.text(count, width))
    given = "CONSTANT ROW"
    assert [step for step in steps if "SCAN" in step and given not in step] in ([], ["SCAN new"]), steps
    assert [step for step in steps if step.startswith("SEARCH")], steps


def test_trimming_reads_the_oldest_commits_only(database: sqlite3.Connection) -> None:
    """It scans by rowid, up to its limit."""
    assert "USE TEMP B-TREE" not in " ".join(plan(database, sweeps.COMMITS))


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (SessionFilter(Tenant("t")), "sessions_by_time (tenant=? AND ephemeral=?"),
        (
            SessionFilter(Tenant("t"), flow_kind="chat"),
            "sessions_by_flow (tenant=? AND flow_kind=? AND ephemeral=?",
        ),
        (SessionFilter(Tenant("t"), user_id="u"), "sessions_by_user (tenant=? AND user_id=? AND ephemeral=?"),
        (
            SessionFilter(Tenant("t"), "chat", "u", "o"),
            "sessions_by_user (tenant=? AND user_id=? AND ephemeral=?",
        ),
        (SessionFilter(Tenant("t"), org_id="o"), "sessions_by_org (tenant=? AND org_id=? AND ephemeral=?"),
        (SessionFilter(Tenant("t"), org_id=""), "sessions_by_time (tenant=? AND ephemeral=?"),
    ],
)
@pytest.mark.parametrize("after", [None, SessionPosition(Micros(5), "sess_5")])
def test_listing_follows_an_index_in_order(
    database: sqlite3.Connection, which: SessionFilter, index: str, after: SessionPosition | None
) -> None:
    bound = Bound(leads(which)[0], 1, Micros(0))
    query, _ = reads.SqliteReads.lists.page(which, bound, 10, after)
    first, *others = plan(database, in_sqlite(query))
    assert index + (" AND (create_time,session_id)<(?,?))" if after else ")") in first
    assert [step.split()[:2] for step in others] == [["SEARCH", "c"]], others


REQUESTS = RequestFilter(Tenant("t"))
IN_SESSION = replace(REQUESTS, session=(SessionKey(Tenant("t"), "s"), "l"))


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (REQUESTS, "requests_by_time (tenant=?"),
        (replace(REQUESTS, flow_kind="chat", org_id="o"), "requests_by_time (tenant=?"),
        (replace(REQUESTS, user_id="u", action="a"), "requests_by_user (tenant=? AND user_id=?"),
        (IN_SESSION, "requests_by_session (log=?"),
        (replace(IN_SESSION, user_id="u", with_payloads=True), "requests_by_session (log=?"),
        (replace(IN_SESSION, statuses=frozenset(RequestStatus)), "requests_by_session (log=?"),
    ],
)
@pytest.mark.parametrize("after", [None, RequestPosition(Micros(5), "req_5")])
def test_lists_of_requests_follow_an_index_in_order(
    database: sqlite3.Connection, which: RequestFilter, index: str, after: RequestPosition | None
) -> None:
    last = RequestPosition(Micros(1), "req_1")
    for bound in (None, last):
        query = list_query(which, after, bound, lists.HINT)
        steps = plan(database, in_sqlite(f"SELECT {query.names} FROM {query.source} ORDER BY {KEY}"))
        assert index in steps[0], steps
        assert ("create_time<?" in steps[0]) == (after is not None), steps
        sorts = [step for step in steps if "SCAN" in step or "B-TREE" in step]
        # Only those of the same moment; how it is called depends on the version.
        assert len(sorts) == 1, steps
        assert sorts[0].endswith(("LAST TERM OF ORDER BY", "RIGHT PART OF ORDER BY")), steps
    scan = scan_query(which, after, lists.HINT)
    if scan is not None:
        steps = plan(database, in_sqlite(scan[0]))
        assert "USING COVERING INDEX" in steps[0], steps
        assert index in steps[0], steps


def test_open_requests_are_listed_from_those_that_are_open(database: sqlite3.Connection) -> None:
    which = replace(REQUESTS, statuses=frozenset((RequestStatus.IN_PROGRESS,)))
    query = list_query(which, None, None, lists.HINT)
    steps = plan(database, in_sqlite(f"SELECT {query.names} FROM {query.source} ORDER BY {KEY}"))
    assert steps[0] == "SCAN h USING INDEX request_heads_open"
