"""The hot statements go by index, as they are planned for a store: once, for all arguments."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey, SessionKey, user_scope
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.postgres import exports, loading, reads, sweeps, write_statements
from flowstate_server.stores.postgres.connections import _PLANNING
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


NEEDS = Needs(
    {SessionKey("", "s")},
    {RequestKey("", "r")},
    {user_scope("u")},
    {user_scope("v")},
    {"p"},
    {IdempotencyKey("", "", "", "k")},
)
ALL_WRITES = tuple(range(len(write_statements.WRITES)))
HOT = {
    "load": loading.load_query(NEEDS)[0],
    "load documents": loading._DOCUMENTS,
    "write": write_statements.TEXTS.text(ALL_WRITES),
    "session": reads.SESSION,
    "request": reads.REQUEST,
    "states": reads.STATES,
    "events": reads.EVENTS,
    "turns": reads.TURNS,
    "projection": reads.PROJECTION,
    "unfinished": reads.UNFINISHED,
    "cancelled": reads.CANCELLED,
    "sweep ended": sweeps._ENDED,
    "sweep a request": sweeps._OF_REQUEST,
    "sweep outside": sweeps._OUTSIDE,
    "sweep keys": sweeps._KEYS,
    "trim commits": sweeps._COMMITS,
    "export sessions": exports.SESSIONS,
    "export requests": exports.REQUESTS,
    "export events": exports.EVENTS,
    "export states": exports.STATES,
    "export idempotency keys": exports.KEYS,
}


@pytest.mark.parametrize("name", HOT)
async def test_no_table_is_read_as_a_whole(database: Any, name: str) -> None:
    steps = await plan(database, HOT[name])
    assert "Seq Scan" not in steps, steps
    # An index without a condition is a whole table as well, unless a LIMIT ends it.
    lines = steps.splitlines()
    for position, line in enumerate(lines):
        if "Index" in line and " Scan " in line and "using " in line and "Limit" not in steps:
            assert "Index Cond" in lines[position + 1], steps


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (SessionFilter("t"), "sessions_by_time"),
        (SessionFilter("t", flow_kind="chat"), "sessions_by_flow"),
        (SessionFilter("t", user_id="u"), "sessions_by_user"),
        (SessionFilter("t", org_id="o"), "sessions_by_org"),
        (SessionFilter("t", user_id="u", include_ephemeral=True), "sessions_by_user"),
    ],
)
@pytest.mark.parametrize("after", [None, SessionPosition(5, "sess_5")])
async def test_listing_follows_an_index_in_order(
    database: Any, which: SessionFilter, index: str, after: SessionPosition | None
) -> None:
    query, values = reads.sessions_query(which, 10, after)
    assert len(values) == len(set(re.findall(r"\$\d+", query)))
    steps = await plan(database, query)
    assert f"Index Scan Backward using {index}" in steps, steps
    assert "Sort" not in steps.replace("Sort Key", ""), steps
