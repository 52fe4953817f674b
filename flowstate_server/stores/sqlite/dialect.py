"""Shared queries as SQLite understands them."""

from __future__ import annotations

import re
from functools import cache

from flowstate_server.stores.tables.rows import PATCHES

_PATCHES = (
    "(SELECT CAST(group_concat(CAST(p.text AS TEXT), char(10)) AS BLOB) FROM (SELECT text FROM state_parts"
    " WHERE state = t.state AND version > t.base ORDER BY version) p)"
)


@cache
def in_sqlite(query: str) -> str:
    """``CROSS JOIN`` is what makes SQLite read tables in the order in which they stand."""
    joined = re.sub(r"(?<!LEFT) JOIN ", " CROSS JOIN ", query.replace(PATCHES, _PATCHES))
    return joined.replace("flowstate.", "").replace("$", "?")
