import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.sqlite import loading, migrations, reads, rows, sweeps, writing
from flowstate_server.stores.sqlite.many_rows import MOST_ROWS


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrations.migrate(database, path)
        yield database


def plan(database: sqlite3.Connection, query: str) -> list[str]:
    """Its steps, of which there are some: a plain INSERT has none, and would pass for well planned."""
    values = (1,) * query.count("?")
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert [step for step in steps if step.startswith(("SEARCH", "SCAN"))], query
    # An index made for this one query reads the whole table, but calls itself a search.
    assert "AUTOMATIC" not in "".join(steps), steps
    return steps


HOT = {
    "session": reads.SESSION,
    "session with head": reads.HEAD,
    "request": reads.REQUEST,
    "request head": rows.REQUEST_HEAD_BY_KEY,
    "state": reads.STATE,
    "events": reads.EVENTS,
    "active": reads.ACTIVE,
    "unfinished": reads.UNFINISHED,
    "cancelled": reads.CANCELLED,
    "load session": loading._SESSION,
    "load state": loading._STATE,
    "load state head": loading._STATE_HEAD,
    "load process": loading._PROCESS,
    "load idempotency key": loading._KEY,
    "update session": writing._SESSION,
    "replace session": writing._REPLACED,
    "sweep a request": sweeps._OF_REQUEST,
    "sweep ended": sweeps._ENDED,
    "sweep outside": sweeps._OUTSIDE,
    "sweep keys": sweeps._KEYS,
}


@pytest.mark.parametrize("name", HOT)
def test_it_searches_by_index_and_sorts_nothing(database: sqlite3.Connection, name: str) -> None:
    for step in plan(database, HOT[name]):
        assert step.startswith(("SEARCH", "LIST SUBQUERY", "USING INDEX")), step


MANY = {
    "update session heads": (writing._SESSION_HEADS, 4),
    "update request heads": (writing._REQUEST_HEADS, 8),
    "update states": (writing._STATES, 10),
    "remove states": (writing._REMOVED_STATES, 4),
    "update processes": (writing._PROCESSES, 4),
    "replace idempotency keys": (writing._KEYS, 7),
}


@pytest.mark.parametrize("count", [1, 3, MOST_ROWS])
@pytest.mark.parametrize("name", MANY)
def test_many_rows_are_each_searched_by_index(database: sqlite3.Connection, name: str, count: int) -> None:
    statement, width = MANY[name]
    steps = plan(database, statement.text(count, width))
    given = "CONSTANT ROW"
    assert [step for step in steps if "SCAN" in step and given not in step] in ([], ["SCAN new"]), steps
    assert [step for step in steps if step.startswith("SEARCH")], steps


def test_turns_are_found_by_index_and_only_their_items_sorted(database: sqlite3.Connection) -> None:
    steps = plan(database, reads.TURNS)
    assert all(step.startswith("SEARCH") or step == "USE TEMP B-TREE FOR ORDER BY" for step in steps), steps
    assert "request_heads_of_turn (log=? AND turn>?)" in steps[0]


def test_trimming_reads_the_oldest_commits_only(database: sqlite3.Connection) -> None:
    """It scans by rowid, up to its limit."""
    assert "USE TEMP B-TREE" not in " ".join(plan(database, sweeps._COMMITS))


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (SessionFilter("t"), "sessions_by_time (tenant=? AND ephemeral=?"),
        (SessionFilter("t", flow_kind="chat"), "sessions_by_flow (tenant=? AND flow_kind=? AND ephemeral=?"),
        (SessionFilter("t", user_id="u"), "sessions_by_user (tenant=? AND user_id=? AND ephemeral=?"),
        (SessionFilter("t", "chat", "u", "o"), "sessions_by_user (tenant=? AND user_id=? AND ephemeral=?"),
        (SessionFilter("t", org_id="o"), "sessions_by_org (tenant=? AND org_id=? AND ephemeral=?"),
        (SessionFilter("t", org_id=""), "sessions_by_time (tenant=? AND ephemeral=?"),
    ],
)
@pytest.mark.parametrize("after", [None, SessionPosition(5, "sess_5")])
def test_listing_follows_an_index_in_order(
    database: sqlite3.Connection, which: SessionFilter, index: str, after: SessionPosition | None
) -> None:
    query, _ = reads.sessions_query(which, 0, 10, after)
    first, *others = plan(database, query)
    assert index + (" AND (create_time,session_id)<(?,?))" if after else ")") in first
    assert [step.split()[:2] for step in others] == [["SEARCH", "h"]], others
