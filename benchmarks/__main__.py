"""Runs benchmarks and prints what they find; exits 1 if a bar is missed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

from benchmarks import event_loop, machine, table
from benchmarks.call_action import call_action
from benchmarks.commit_state import commit_state
from benchmarks.delivery import delivery
from benchmarks.growing_session import growing_session
from benchmarks.many_operations import many_operations
from benchmarks.replay import replay
from benchmarks.result import Benchmark, Figure, Options
from benchmarks.space import space

BENCHMARKS: Mapping[str, Benchmark] = {
    "commit-state": commit_state,
    "call-action": call_action,
    "many-operations": many_operations,
    "growing-session": growing_session,
    "delivery": delivery,
    "replay": replay,
    "space": space,
}


async def main(names: Sequence[str], options: Options) -> int:
    print(machine.line())
    print(f"medians of {options.rounds} interleaved rounds; calls/s and CPU: measured / floor")
    print(table.heading())
    began = time.perf_counter()
    missed = 0
    for name in names or BENCHMARKS:
        for result in await BENCHMARKS[name](options):
            print(table.row(result), flush=True)
            missed += not isinstance(result, Figure) and result.missed
    print(f"{time.perf_counter() - began:.0f} s; {f'{missed} missed' if missed else 'every bar cleared'}")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each side in each round; default: 1")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    raise SystemExit(event_loop.run(main(given.names, Options(given.rounds, given.seconds))))
