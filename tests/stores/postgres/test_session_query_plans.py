"""A list follows one index in its order, and looks up what else is asked of each row; whatever the tables hold."""

from __future__ import annotations

from typing import Any

import pytest

from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.postgres.reads import PostgresReads
from tests.stores.listing_filters import FILTERS, INDEXES, counts, pages, probes
from tests.stores.postgres.test_query_plans import database, plan

__all__ = ["database"]

LISTS = PostgresReads.lists
FILL = (
    "INSERT INTO flowstate.sessions SELECT number, number, 1, 0, 1, false, number % 3 = 0, 't', 's' || number, 'l',"
    " 'f', 'u' || number % 5, 'o', '', '', NULL, NULL FROM generate_series(1, 5000) number;"
    " INSERT INTO flowstate.session_heads SELECT number, 1, 0, number, 0 FROM generate_series(1, 5000) number;"
    " INSERT INTO flowstate.session_labels SELECT number, number, number % 3 = 0, 't', 's' || number, label"
    " FROM generate_series(1, 5000) number, (VALUES ('a'::bytea), ('b'::bytea)) labels(label);"
    " ANALYZE flowstate.sessions; ANALYZE flowstate.session_heads; ANALYZE flowstate.session_labels"
)


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("which", FILTERS)
async def test_a_page_is_a_range_of_one_index(database: Any, which: SessionFilter, filled: bool) -> None:
    if filled:
        await database.execute(FILL)
    for lead, query in pages(LISTS, which):
        steps = await plan(database, query)
        index = "session_labels_pkey" if lead.label is not None else INDEXES[lead.column]
        assert f"Scan Backward using {index}" in steps, steps
        _check(steps)
        assert which.include_ephemeral or "Sort" not in steps.replace("Sort Key", ""), steps


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("which", FILTERS)
async def test_to_count_is_to_follow_an_index(database: Any, which: SessionFilter, filled: bool) -> None:
    if filled:
        await database.execute(FILL)
    for query in probes(LISTS, which):
        steps = await plan(database, query)
        _check(steps)
        assert "Sort" not in steps.replace("Sort Key", ""), steps
    for query in counts(LISTS, which):
        _check(await plan(database, query))


def _check(steps: str) -> None:
    """No table is read as a whole, or joined but by looking up its rows."""
    assert not [word for word in ("Seq Scan", "Bitmap", "Hash Join", "Merge Join") if word in steps], steps
    lines = steps.splitlines()
    for position, line in enumerate(lines):
        if " Scan " in line and "using " in line:
            assert "Index Cond" in lines[position + 1], steps
