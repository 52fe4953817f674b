"""Shared queries as SQLite understands them."""

from __future__ import annotations

import re
from functools import cache


@cache
def in_sqlite(query: str) -> str:
    """``CROSS JOIN`` is what makes SQLite read tables in the order in which they stand."""
    joined = re.sub(r"(?<!LEFT) JOIN ", " CROSS JOIN ", query)
    return joined.replace("flowstate.", "").replace("$", "?")
