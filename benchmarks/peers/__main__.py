"""Runs others beside FlowState with the same turns, and prints tables in Markdown."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import event_loop, machine
from benchmarks.peers.comparison import Options
from benchmarks.peers.contest import Entrant, compare
from benchmarks.peers.contestants import CONTESTANTS, Contestant
from benchmarks.peers.report import notes, report
from tests.support.postgres_server import PostgresServer

_VERSIONS = (
    "import json, sys; from importlib.metadata import version;"
    " print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


async def tell(names: Sequence[str], options: Options, peers_python: str) -> None:
    began = time.perf_counter()
    print(f"{datetime.now(UTC):%d %B %Y}; {machine.line()}", flush=True)
    contestants = {name: CONTESTANTS[name] for name in names}
    versions = _versions(contestants, peers_python)
    with tempfile.TemporaryDirectory(prefix="flowstate-peers-") as name:
        async with _entrants(contestants, Path(name), peers_python) as entrants:
            comparison = await compare(entrants, Path(name), options)
    print(f"medians of {options.rounds} rounds that take all in turn\n")
    print("\n".join(report(comparison, contestants, options)), end="\n\n")
    print("\n".join(notes(contestants, versions)), end="\n\n")
    print(f"{time.perf_counter() - began:.0f} s; {machine.line()}")


@asynccontextmanager
async def _entrants(
    contestants: Mapping[str, Contestant], folder: Path, peers_python: str
) -> AsyncIterator[Mapping[str, Entrant]]:
    """Each with a database of its own; those on Postgres share a server that writes as one in production does."""
    async with AsyncExitStack() as stack:
        urls = {name: f"sqlite:///{folder / name}.db" for name in contestants}
        on_postgres = [name for name, one in contestants.items() if one.postgres]
        if on_postgres:
            postgres = stack.enter_context(PostgresServer.run(durable=True))
            urls |= {name: await postgres.create_database() for name in on_postgres}
        yield {
            name: Entrant(one, urls[name], peers_python if one.packages else sys.executable)
            for name, one in contestants.items()
        }


def _versions(contestants: Mapping[str, Contestant], peers_python: str) -> Mapping[str, str]:
    packages = sorted({package for one in contestants.values() for package in one.packages})
    if not packages:
        return {}
    command = [peers_python, "-c", _VERSIONS, *packages]
    told: Mapping[str, str] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def selected(names: str) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in CONTESTANTS:
            raise argparse.ArgumentTypeError(f"there is no {name}, only {', '.join(CONTESTANTS)}")
    return chosen or list(CONTESTANTS)


def _lengths(numbers: str) -> list[int]:
    return [int(number) for number in numbers.split(",")]


def _python(path: str) -> str:
    """Its links are left as they are: they lead out of the environment."""
    return str(Path(path).absolute())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--turns",
        type=_lengths,
        default="10,500,3000",
        metavar="N,...",
        help="that sessions have; %(default)s",
    )
    parser.add_argument("--rounds", type=int, default=Options.rounds, help="default: %(default)s")
    parser.add_argument(
        "--seconds",
        type=float,
        default=Options.seconds,
        help="when a round begins no more turns; default: %(default)g",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=Options.limit,
        help="seconds after which one is given up; default: %(default)g",
    )
    parser.add_argument(
        "--in-flight",
        type=int,
        default=Options.in_flight,
        metavar="N",
        help="sessions with a turn at once; default: %(default)s",
    )
    parser.add_argument("--only", type=selected, default="", metavar="NAME,...", help=", ".join(CONTESTANTS))
    parser.add_argument(
        "--python",
        type=_python,
        default=".venv-peers/bin/python",
        help="with the others' packages; default: %(default)s",
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    chosen = Options(given.turns, given.rounds, given.seconds, given.limit, in_flight=given.in_flight)
    event_loop.run(tell(given.only, chosen, given.python))
