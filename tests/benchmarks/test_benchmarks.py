"""Every benchmark runs, cut down to a second or two, and needs nothing of the server that a user does not see."""

from __future__ import annotations

import argparse
import ast
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import (
    crowd,
    deleting,
    delivery,
    growing_session,
    growth,
    large_state,
    listing,
    live_tails,
    memory,
    open_tails,
    replay,
    session_tail,
    space,
    table,
    tokens,
)
from benchmarks.__main__ import BENCHMARKS, BY_NAME_ALONE, selected
from benchmarks.result import Figure, Options
from tests.support.postgres_server import require_postgres

CHECKOUT = Path(__file__).parents[2]
FILLS_STORES = "grown_store"
"""Runs as a process of its own, and knows the insides of the tree that it belongs to."""
SEEN_BY_USERS = {"flowstate_server", "flowstate_server.app", "flowstate_server.flows"}
ON_POSTGRES = {
    "delivery",
    "deleting-postgres",
    "listing",
    "commit-state-postgres",
    "call-action-postgres",
    "session-tail-postgres",
    "content-postgres",
    "crowd-postgres",
    "open-tails-postgres",
    "growth-postgres",
    "large-state-postgres",
    "neighbors-postgres",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, size in (
        (growing_session, "SESSIONS", 2),
        (growing_session, "LONG", 20),
        (growing_session, "MEASURED", 3),
        (delivery, "MARKS", 5),
        (large_state, "LARGE", 100),
        (large_state, "WRITERS", 2),
        (listing, "SESSIONS", 200),
        (listing, "CALLS", 3),
        (crowd, "TAILS", 10),
        (tokens, "RUNS", 5),
        (tokens, "MANY_RUNS", 10),
        (tokens, "SECONDS", 2.0),
        (open_tails, "TAILS", 20),
        (open_tails, "FIRST_EVENTS", 3),
        (growth, "CALLS", 3),
        (growth, "IDLE_SECONDS", 0.1),
        (deleting, "EVENTS", 2_000),
        (deleting, "WINDOW", 0.2),
        (live_tails, "TAILS", 10),
        (live_tails, "EVENTS", 5),
        (memory, "CALLS", 3),
        (memory, "COMMITS", 64),
        (memory, "WARMING", 64),
        (replay, "EVENTS", 500),
        (session_tail, "REQUESTS", 20),
        (space, "TURNS", 5),
    ):
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, size)


@pytest.mark.parametrize("name", BENCHMARKS)
async def test_it_runs(name: str) -> None:
    if name in ON_POSTGRES:
        require_postgres()
    results = await BENCHMARKS[name](Options(rounds=1, seconds=0.05, sizes=(100,)))
    assert results
    for result in results:
        assert table.row(result).startswith(result.name)
        assert isinstance(result, Figure) or math.isfinite(result.measure.value)


def test_benchmarks_are_chosen_by_name() -> None:
    assert set(BENCHMARKS) - set(selected("")) == BY_NAME_ALONE
    assert selected("growth") == ["growth"]
    assert selected("replay, commit-state") == ["replay", "commit-state"]
    with pytest.raises(argparse.ArgumentTypeError, match="there is no relpay"):
        selected("relpay")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((CHECKOUT / "benchmarks").glob("*.py")) if path.stem != FILLS_STORES],
    ids=lambda path: path.stem,
)
def test_benchmarks_see_what_users_see(path: Path) -> None:
    """So that they run on any tree, before and after its insides were moved."""
    imported = set(_imported(path))
    assert f"benchmarks.{FILLS_STORES}" not in imported
    strange = {name for name in imported if name.split(".")[0] == "flowstate_server"} - SEEN_BY_USERS
    assert not strange


@pytest.mark.parametrize("name", ["postgres_server", "ports"])
def test_what_starts_postgres_needs_no_product(name: str) -> None:
    """Benchmarks take it along to trees that may have it elsewhere."""
    imported = set(_imported(CHECKOUT / f"tests/support/{name}.py"))
    assert not {module for module in imported if module.startswith("flowstate")}
    assert {module for module in imported if module.startswith("tests")} <= {"tests.support.ports"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
