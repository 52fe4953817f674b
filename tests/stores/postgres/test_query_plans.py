"""The hot statements go by index, as they are planned for a store: once, for all arguments."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentKey
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey, user_scope
from flowstate_server.stores.contract.lists import ItemRange, RequestFilter, RequestPosition
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    EXPORTED,
    LOCKED,
    PROCESSES,
    REQUEST_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    TURNS,
    Needs,
)
from flowstate_server.stores.postgres import (
    blob_pieces,
    deleted_sessions,
    documents,
    exports,
    lease_renewal,
    lists,
    loading,
    reads,
    sweeps,
    writing,
)
from flowstate_server.stores.postgres.connections import _PLANNING
from flowstate_server.stores.postgres.statements import any_of
from flowstate_server.stores.tables import queries
from flowstate_server.stores.tables.exports import EXPORTS
from flowstate_server.stores.tables.request_lists import list_query, scan_query
from flowstate_server.stores.tables.session_queries import Bound, leads
from tests.support.postgres_server import connection

_names = count(1)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Any]:
    """A connection with the settings of a store's."""
    async with connection(dsn) as database:
        for name, value in _PLANNING.items():
            await database.execute(f"SET {name} = {value}")
        yield database


async def plan(database: Any, query: str) -> str:
    name = f"plan_{next(_names)}"
    parameters = max((int(number) for number in re.findall(r"\$(\d+)", query)), default=0)
    await database.execute(f"PREPARE {name} AS {query}")
    arguments = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    return "\n".join(row[0] for row in await database.fetch(f"EXPLAIN EXECUTE {name}{arguments}"))


NEEDS = Needs()
NEEDS.add(SESSIONS, SessionKey(NO_TENANT, "s"))
NEEDS.add(REQUEST_HEADS, RequestKey(NO_TENANT, "r"))
NEEDS.add(STATES, user_scope("u"))
NEEDS.add(STATE_HEADS, user_scope("v"))
NEEDS.add(PROCESSES, "p")
NEEDS.add(DOCUMENTS, DocumentKey(STORE_OWNER, "k", ("n",)))
ITEMS = ItemRange(SessionKey(NO_TENANT, "s"), "l")
HOT = {
    "load": loading.load_query(NEEDS)[0],
    "load protected": loading.PROTECTED,
    "load large states": loading._LARGE[STATES],
    "load large documents": loading._LARGE[DOCUMENTS],
    "look again": f"SELECT {any_of(LOCKED, 1)}",
    "write": writing.TEXTS.text(tuple(range(len(writing.WRITES))), LOCKED),
    "session": queries.SESSION,
    "request": queries.REQUEST,
    "states": reads.STATES,
    "documents": documents.DOCUMENTS,
    "documents forward": documents.RANGE_UP,
    "documents backward": documents.RANGE_DOWN,
    "events of a request": reads.EVENTS_OF_REQUEST,
    "events of a session": reads.EVENTS_OF_SESSION,
    "turns": reads.TURNS,
    "projection": reads.PROJECTION,
    "open requests": queries.RUNNING,
    "cancelled": queries.CANCELLED,
    "renew": lease_renewal.RENEW,
    "sweep ended": sweeps._ENDED,
    "sweep a request": sweeps._OF_REQUEST,
    "sweep outside": sweeps._OUTSIDE,
    "sweep documents": documents.EXPIRED,
    "trim commits": sweeps._COMMITS,
    "walk sessions": queries.WALK,
    "removed request": queries.REMOVED_REQUEST,
    "oldest turns": queries.OLDEST_TURNS,
    "deleted session": deleted_sessions.LEFT,
    "events of a deleted session": deleted_sessions.EVENTS,
    "turns of a deleted session": deleted_sessions.TURNS,
    "documents of a deleted session": deleted_sessions.DOCUMENTS,
    "open requests of a deleted session": deleted_sessions.OPEN,
    "forget requests": deleted_sessions.REQUESTS,
    "forget sessions": deleted_sessions.TOMBSTONES,
    "cut a log": deleted_sessions.CUT,
    "put a piece": blob_pieces.PUT,
    "read a piece": blob_pieces.READ,
    "delete pieces": blob_pieces.DELETE,
    "list pieces": blob_pieces.LIST,
    "newest turns": queries.NEWEST_TURNS,
    "turns before": queries.TURNS_BEFORE,
    "items": lists.items_query(ITEMS, None, 9, 9)[0],
    "newest items": lists.items_query(replace(ITEMS, newest_first=True), None, 9, 9)[0],
    "items of a request": lists.items_query(replace(ITEMS, request_id="r"), None, 9, 9)[0],
    "items of turns": lists.items_query(replace(ITEMS, turns=(1, 2)), None, 9, 9)[0],
    "newest items of turns": lists.items_query(replace(ITEMS, turns=(1, 2), newest_first=True), None, 9, 9)[
        0
    ],
} | {f"export {table.name}": query for table, query in exports.QUERIES.items()}


@pytest.mark.parametrize("name", HOT)
async def test_no_table_is_read_as_a_whole(database: Any, name: str) -> None:
    steps = await plan(database, HOT[name])
    assert "Seq Scan" not in steps, steps
    # An index without a condition is a whole table as well, unless a LIMIT ends it.
    lines = steps.splitlines()
    for position, line in enumerate(lines):
        if "Index" in line and " Scan " in line and "using " in line and "Limit" not in steps:
            assert "Index Cond" in lines[position + 1], steps


KEY_LOOKUPS = (
    "load",
    "look again",
    "request",
    "events of a request",
    "items of a request",
    "removed request",
)


@pytest.mark.parametrize("name", KEY_LOOKUPS)
async def test_a_record_is_found_by_its_whole_key(database: Any, name: str) -> None:
    """Not by going through all that its tenant has, which is the same to Postgres as long as it knows nothing of a
    table: plans that it makes then are kept until it has counted the rows."""
    steps = await plan(database, HOT[name])
    assert "using requests_by_id on requests" in steps, steps
    for line in steps.splitlines():
        if "Filter:" in line:
            assert not re.search(r"\b(request|session)_id\)?(::text)? = ", line), steps


PAGES = {
    "load protected": "documents_by_key",
    "documents forward": "documents_by_key",
    "documents backward": "documents_by_key",
    "events of a session": "events_pkey",
    "events of a request": "events_by_request",
    "turns": "turns_pkey",
    "items": "items_pkey",
    "newest items": "items_pkey",
    "items of turns": "turns_pkey",
    "newest items of turns": "turns_pkey",
    "export processes": "processes_pkey",
    "export sessions": "sessions_by_id",
    "export session_heads": "sessions_by_id",
    "export requests": "requests_by_id",
    "export states": "states_by_key",
    "export documents": "documents_by_key",
    "export events": "events_pkey",
    "export turns": "turns_pkey",
    "list pieces": "blob_pieces_pkey",
    "walk sessions": "sessions_by_id",
    "oldest turns": "turns_pkey",
    "deleted session": "sessions_deleted",
    "events of a deleted session": "events_pkey",
    "forget requests": "request_heads_removed",
    "forget sessions": "sessions_deleted",
}


def test_every_export_is_looked_at() -> None:
    assert {name for name in PAGES if name.startswith("export ")} == {
        f"export {table.name}" for table in EXPORTED
    }
    assert exports.QUERIES.keys() == EXPORTS.keys() == set(EXPORTED)


@pytest.mark.parametrize(("name", "index"), PAGES.items())
async def test_pages_follow_an_index_no_further_than_they_need(database: Any, name: str, index: str) -> None:
    """Below each LIMIT nothing is sorted as a whole: what is left to sort is a page, or one log of a page."""
    lines = (await plan(database, HOT[name])).splitlines()
    assert any(f"using {index} on" in line for line in lines), lines
    limits = [position for position, line in enumerate(lines) if "Limit " in line]
    assert limits
    for position in limits:
        depth = _depth(lines[position])
        for line in lines[position + 1 :]:
            if "->" in line and _depth(line) <= depth:
                break
            assert "Sort  (" not in line.replace("Incremental Sort", ""), lines
    for table in (EVENTS, TURNS):
        if name == f"export {table.name}":
            assert any("Incremental Sort" in line for line in lines), lines
            assert "Index Scan using sessions_by_id" in "\n".join(lines), lines


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" ->"))


async def test_a_page_of_events_reads_no_more_logs_than_it_needs(database: Any) -> None:
    await database.execute(
        "INSERT INTO flowstate.sessions SELECT number, 1, 1, 0, 1, false, false, 't', 's' || number, 'l', 'f', 'u', '',"
        " '', '', NULL, NULL FROM generate_series(1, 500) number;"
        " INSERT INTO flowstate.events SELECT log, number, NULL, 0, 1, 15, 1, false, NULL, '{}'"
        " FROM generate_series(1, 500) log, generate_series(1, 20) number"
    )
    await database.execute(f"PREPARE page AS {exports.QUERIES[EVENTS]}")
    steps = await database.fetch("EXPLAIN ANALYZE EXECUTE page('t', 's100', 5, 50, 1000000)")
    [read] = [row[0] for row in steps if "using events_pkey on" in row[0]]
    rows, loops = re.search(r"rows=([\d.]+) loops=(\d+)\)$", read).groups()  # type: ignore[union-attr]
    assert float(rows) * int(loops) <= 120
    assert "rows=50 " in steps[0][0]


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (SessionFilter(Tenant("t")), "sessions_by_time"),
        (SessionFilter(Tenant("t"), flow_kind="chat"), "sessions_by_flow"),
        (SessionFilter(Tenant("t"), user_id="u"), "sessions_by_user"),
        (SessionFilter(Tenant("t"), org_id="o"), "sessions_by_org"),
        (SessionFilter(Tenant("t"), user_id="u", include_ephemeral=True), "sessions_by_user"),
    ],
)
@pytest.mark.parametrize("after", [None, SessionPosition(Micros(5), "sess_5")])
async def test_listing_follows_an_index_in_order(
    database: Any, which: SessionFilter, index: str, after: SessionPosition | None
) -> None:
    bound = Bound(leads(which)[0], 1, Micros(0))
    query, values = reads.PostgresReads.lists.page(which, bound, 10, after)
    assert len(values) == len(set(re.findall(r"\$\d+", query)))
    steps = await plan(database, query)
    assert f"Index Scan Backward using {index}" in steps, steps
    assert "Sort" not in steps.replace("Sort Key", ""), steps


REQUESTS = RequestFilter(Tenant("t"))
IN_SESSION = replace(REQUESTS, session=(SessionKey(Tenant("t"), "s"), "l"))


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (REQUESTS, "requests_by_time"),
        (replace(REQUESTS, flow_kind="chat", org_id="o"), "requests_by_time"),
        (replace(REQUESTS, user_id="u", action="a"), "requests_by_user"),
        (IN_SESSION, "requests_by_session"),
        (replace(IN_SESSION, user_id="u", with_payloads=True), "requests_by_session"),
        (replace(IN_SESSION, statuses=frozenset(RequestStatus)), "requests_by_session"),
    ],
)
@pytest.mark.parametrize("after", [None, RequestPosition(Micros(5), "req_5")])
async def test_lists_of_requests_follow_an_index_in_order(
    database: Any, which: RequestFilter, index: str, after: RequestPosition | None
) -> None:
    for last in (None, RequestPosition(Micros(1), "req_1")):
        query, _ = lists.requests_query(list_query(which, after, last), 9, 9)
        steps = await plan(database, query)
        inside = steps[steps.index("Limit ") :]
        assert f"using {index} on requests" in inside, steps
        assert "Sort  (" not in inside.replace("Incremental Sort", ""), steps
        assert "Seq Scan" not in steps, steps
    scan = scan_query(which, after)
    if scan is not None:
        steps = await plan(database, scan[0])
        assert f"Index Only Scan Backward using {index}" in steps, steps


async def test_open_requests_are_listed_from_those_that_are_open(database: Any) -> None:
    await database.execute(
        "INSERT INTO flowstate.sessions SELECT 1, 1, 1, 0, 1, false, false, 't', 's', 'l', 'f', 'u', '', '', '', NULL,"
        " NULL; INSERT INTO flowstate.requests (request, log, create_time, tenant, request_id, log_id, user_id, org_id,"
        " fingerprint, flow_kind, action, scopes, gate, timeout, trace, correlation_id, input)"
        " SELECT n, 1, n, 't', 'r' || n, 'l', 'u', '', '', 'f', 'a', '[]', '', 0, '', '', '{}'"
        " FROM generate_series(1, 9999) n;"
        " INSERT INTO flowstate.request_heads SELECT n, 1, 1, 1, 0, sign(n % 3333)::int, n % 3333 = 0, false, 'p', NULL"
        " FROM generate_series(1, 9999) n; ANALYZE flowstate.requests, flowstate.request_heads"
    )
    for user_id in (None, "u"):
        which = replace(REQUESTS, user_id=user_id, statuses=frozenset((RequestStatus.IN_PROGRESS,)))
        query, _ = lists.requests_query(list_query(which, None, None), 9, 9)
        steps = await plan(database, query)
        assert "using request_heads_open on request_heads" in steps, steps
        assert "requests_by_" not in steps, steps
