"""Runs benchmarks and prints what they find; exits 1 if a bar is missed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import flowstate.v1
import flowstate_server
from benchmarks import event_loop, machine, table
from benchmarks.call_action import call_action, call_action_postgres
from benchmarks.commit_state import commit_state, commit_state_postgres
from benchmarks.content import content, content_postgres
from benchmarks.crowd import crowd, crowd_postgres
from benchmarks.deleting import deleting, deleting_postgres
from benchmarks.delivery import delivery
from benchmarks.get_snapshot import get_snapshot
from benchmarks.growing_session import growing_session
from benchmarks.growth import growth, growth_postgres
from benchmarks.large_state import large_state, large_state_postgres, neighbors, neighbors_postgres
from benchmarks.listing import listing
from benchmarks.live_tails import live_tails
from benchmarks.many_operations import many_operations
from benchmarks.memory import memory, memory_of_commits
from benchmarks.open_tails import open_tails, open_tails_postgres
from benchmarks.replay import replay
from benchmarks.result import SIZES, Benchmark, Figure, Options, Result
from benchmarks.session_tail import session_tail, session_tail_postgres
from benchmarks.space import space
from benchmarks.steps import ten_steps
from benchmarks.tokens import tokens, tokens_of_many
from benchmarks.typed_state import typed_commit, wide_snapshot

BENCHMARKS: Mapping[str, Benchmark] = {
    "commit-state": commit_state,
    "call-action": call_action,
    "ten-steps": ten_steps,
    "get-snapshot": get_snapshot,
    "typed-commit": typed_commit,
    "wide-snapshot": wide_snapshot,
    "commit-state-postgres": commit_state_postgres,
    "call-action-postgres": call_action_postgres,
    "many-operations": many_operations,
    "growing-session": growing_session,
    "listing": listing,
    "delivery": delivery,
    "live-tails": live_tails,
    "tokens": tokens,
    "tokens-of-many": tokens_of_many,
    "crowd": crowd,
    "crowd-postgres": crowd_postgres,
    "open-tails": open_tails,
    "open-tails-postgres": open_tails_postgres,
    "replay": replay,
    "session-tail": session_tail,
    "session-tail-postgres": session_tail_postgres,
    "deleting": deleting,
    "deleting-postgres": deleting_postgres,
    "content": content,
    "content-postgres": content_postgres,
    "large-state": large_state,
    "large-state-postgres": large_state_postgres,
    "neighbors": neighbors,
    "neighbors-postgres": neighbors_postgres,
    "space": space,
    "memory": memory,
    "memory-of-commits": memory_of_commits,
    "growth": growth,
    "growth-postgres": growth_postgres,
}
BY_NAME_ALONE = {"growth", "growth-postgres"}
"""Those that take many minutes each."""


async def tell(names: Sequence[str], options: Options) -> int:
    """Print a table as it comes; 1 if a bar is missed."""
    print(machine.line())
    print(f"medians of {options.rounds} interleaved rounds; calls/s and CPU: measured / floor")
    print(table.heading())
    began = time.perf_counter()
    missed = 0
    for name in names:
        for result in await BENCHMARKS[name](options):
            print(table.row(result), flush=True)
            missed += not isinstance(result, Figure) and result.missed
    print(f"{time.perf_counter() - began:.0f} s; {f'{missed} missed' if missed else 'every bar cleared'}")
    return 1 if missed else 0


async def tell_in_json(names: Sequence[str], options: Options) -> int:
    """Print one line with what was measured, and of which product; bars do not count."""
    results: list[Result] = []
    for name in names:
        results += await BENCHMARKS[name](options)
    measures = [asdict(result.measure) for result in results if not isinstance(result, Figure)]
    print(json.dumps({"product": list(_product()), "measures": measures}))
    return 0


def _product() -> Iterator[str]:
    """The files of the product that is measured."""
    for module in (flowstate_server, flowstate.v1):
        yield str(Path(module.__file__ or "").resolve())


def selected(names: str) -> list[str]:
    """The benchmarks of a list with commas; none named: all but those that take long."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in BENCHMARKS:
            raise argparse.ArgumentTypeError(f"there is no {name}, only {', '.join(BENCHMARKS)}")
    return chosen or [name for name in BENCHMARKS if name not in BY_NAME_ALONE]


def add_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    """The options that a run has and that a comparison of two trees has too."""
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"of each side in each round; default: {seconds:g}"
    )
    parser.add_argument("--only", type=selected, default="", metavar="NAME,...", help=", ".join(BENCHMARKS))


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_options(parser, seconds=1.0)
    parser.add_argument(
        "--sizes", type=_sizes, default=SIZES, metavar="SESSIONS,...", help="of the stores of 'growth'"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON in place of the table")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    work = tell_in_json if given.json else tell
    options = Options(given.rounds, given.seconds, given.sizes)
    raise SystemExit(event_loop.run(work(given.only, options)))
