"""A list follows one index in its order, and looks up what else is asked of each row."""

from __future__ import annotations

import sqlite3

import pytest

from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.reads import SqliteReads
from tests.stores.listing_filters import FILTERS, INDEXES, counts, pages, probes
from tests.stores.sqlite.test_query_plans import STEPS, database, plan

__all__ = ["database"]

LISTS = SqliteReads.lists
LOOKED_UP = (
    "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH y USING PRIMARY KEY (tenant=? AND label=? AND ephemeral=? AND create_time=? AND session_id=? AND log=?)",
    "CORRELATED SCALAR SUBQUERY",
)
OF_A_PAGE = ("CO-ROUTINE x", "SCAN x", "MERGE (UNION ALL)", "LEFT", "RIGHT", "USE TEMP B-TREE FOR ORDER BY")
"""Two lists that are merged: what is sorted is the page of each."""


@pytest.mark.parametrize("which", FILTERS)
def test_a_page_is_a_range_of_one_index(database: sqlite3.Connection, which: SessionFilter) -> None:
    for lead, query in pages(LISTS, which):
        steps = plan(database, in_sqlite(query))
        label = "SEARCH l USING PRIMARY KEY (tenant=? AND label=? AND ephemeral=?"
        along = label if lead.label is not None else f"SEARCH s USING INDEX {INDEXES[lead.column]} (tenant=?"
        assert [step for step in steps if step.startswith(along)], steps
        if "create_time >=" in query:
            assert "create_time>?" in "".join(steps), steps
        if "(l.create_time, " in query or "(s.create_time, " in query:
            assert "(create_time,session_id)<(?,?)" in "".join(steps), steps
        allowed = (along, *LOOKED_UP, *(OF_A_PAGE if which.include_ephemeral else ()))
        assert all(step.startswith(allowed) for step in steps), steps


@pytest.mark.parametrize("which", FILTERS)
def test_to_count_is_to_follow_an_index(database: sqlite3.Connection, which: SessionFilter) -> None:
    for query in (*probes(LISTS, which), *counts(LISTS, which)):
        steps = plan(database, in_sqlite(query))
        assert all(step.startswith((*STEPS, "CO-ROUTINE x", "SCAN x")) for step in steps), steps
        assert "TEMP B-TREE" not in "".join(steps), steps
