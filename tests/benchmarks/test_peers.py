"""The comparison with others runs, on FlowState and bare drivers alone: the others are not installed here."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.peers import floor, flowstate_sessions
from benchmarks.peers.__main__ import selected, tell
from benchmarks.peers.comparison import Cell, Comparison, Increments, Options, Place, Round, Stored
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.peer import NEWEST, Opening
from benchmarks.peers.report import notes, report
from tests.support.postgres_server import fresh_database

REQUIREMENTS = (Path(__file__).parents[2] / "benchmarks/peers/requirements.txt").read_text("utf-8")


async def test_it_runs_without_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    sizes = Options(
        lengths=[2],
        rounds=1,
        turns_alone=2,
        turns_each=1,
        in_flight=2,
        renewed_below=2,
        writers=8,
        processes=1,
    )
    await tell(["floor-sqlite", "flowstate-sqlite"], sizes, sys.executable)

    told = capfd.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("| FlowState, ")]
    assert [len(row) for row in rows] == [5, 4, 3], told
    assert rows[2] == ["FlowState, SQLite", "8", "8"]
    figures = [float(cell.replace(",", "")) for row in rows[:2] for cell in row[1:]]
    assert all(figure > 0 for figure in figures)
    assert "failed" not in told


@pytest.mark.parametrize("peer", [floor.open_peer, flowstate_sessions.open_peer], ids=["floor", "flowstate"])
async def test_turns_on_postgres(peer: Opening) -> None:
    turns = NEWEST // 2
    async with fresh_database() as url, peer(url, "") as opened:
        await opened.grow(["s1"], turns)
        assert await opened.turn("s1", None) == 2 * turns
        assert await opened.turn("s1", NEWEST) == NEWEST
        await opened.increment("s1")
        assert await opened.count("s1") == turns + 3


def test_a_table_that_gives_back_what_was_deleted_before_takes_nothing_from_what_turns_store() -> None:
    before = Stored({"items": 8_192, "log": 3_000_000})
    assert Stored({"items": 24_576, "log": 8_192, "turns": 8_192}).grown_since(before) == 24_576


def test_the_tables_tell_what_took_too_long_and_what_failed() -> None:
    fast = Round(took=[0.001, 0.002, 0.003], seconds=0.5, cpu=0.03, failures={})
    failing = Round(took=[0.2], seconds=2.0, cpu=0.1, failures={"OperationalError: database is locked": 3})
    comparison = Comparison(
        cells={
            Place("adk-sqlite", 10, 1, False): Cell([fast], stored=4096, turns=2),
            Place("adk-sqlite", 10, 32, False): Cell([failing], stored=0, turns=1),
        },
        one_process={"adk-sqlite": Increments(100, 649, {})},
        processes={"adk-sqlite": Increments(57, 0, {"OperationalError: database is locked": 2})},
        too_long={"adk-sqlite"},
    )
    contestants = {name: CONTESTANTS[name] for name in ("adk-sqlite", "openai-sqlite")}

    lines = list(report(comparison, contestants, Options([10, 3000])))

    rows = [line for line in lines if line.startswith("| ADK")]
    assert rows[0] == (
        "| ADK, SQLite | 2 / over the limit | 0.5 / over the limit | 100 / over the limit | 2 / over the limit |"
    )
    assert rows[2] == "| ADK, SQLite | 100, after 649 refusals and repeats | 57; 2 failed |"
    assert lines[-1] == "\nADK, SQLite failed: 5 times OperationalError: database is locked"
    assert "| OpenAI Agents, SQLite | – / – | – / – | – / – | – / – |" in lines
    assert "| OpenAI Agents, SQLite | keeps no counter | keeps no counter |" in lines


def test_versions_are_told_of_what_is_installed_for_it() -> None:
    packages = {package for one in CONTESTANTS.values() for package in one.packages}
    pinned = {line.split("==")[0].split("[")[0] for line in REQUIREMENTS.splitlines() if "==" in line}
    assert packages <= pinned
    told = list(notes(CONTESTANTS, dict.fromkeys(packages, "1.2")))
    assert len(told) == len(CONTESTANTS)
    assert told[4].startswith("* ADK, SQLite (google-adk 1.2, sqlalchemy 1.2): ")


def test_contestants_are_chosen_by_name() -> None:
    assert selected("") == list(CONTESTANTS)
    assert selected("adk-sqlite, floor-sqlite") == ["adk-sqlite", "floor-sqlite"]
    with pytest.raises(argparse.ArgumentTypeError, match="there is no adk-mysql"):
        selected("adk-mysql")


def test_failures_are_counted_by_contestant() -> None:
    cells = {
        Place("adk-sqlite", 10, in_flight, False): Cell([Round([], 1.0, 0.0, {"locked": 2})])
        for in_flight in (1, 32)
    }
    assert Comparison(cells).failures == {"adk-sqlite": Counter(locked=4)}
