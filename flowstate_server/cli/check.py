"""``flowstate check``: whether an application can be deployed."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flowstate_server import deployment
from flowstate_server.cli.app_reference import BrokenApp, NoApp, find_app
from flowstate_server.cli.misfit_lines import misfit_lines
from flowstate_server.cli.problem import FAILED, INTERRUPTED, MISUSED, give_up
from flowstate_server.cli.telling import say_json
from flowstate_server.cli.terminal_text import plain
from flowstate_server.deployment import Looked, NotChecked, Report
from flowstate_server.store_urls import FORMS, redacted

PROGRESS_SECONDS = 2.0


def check(
    app: Annotated[
        str, typer.Argument(metavar="APP", help="module:attribute that holds a FlowState or a Flow.")
    ],
    store: Annotated[
        str | None, typer.Option(envvar="FLOWSTATE_STORE", metavar="URL", help=f"Look at it, too: {FORMS}.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Look at every record, not at a sample.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as problems.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as one JSON object.")] = False,
) -> None:
    """Check whether APP can be deployed: its flows, those of the servers on a store, and what is stored.

    Nothing is served, written or migrated; a server may use the store meanwhile, but for a folder. Exit code 0: it can
    be deployed, perhaps with warnings. 1: it would not be served, or records would not fit it any more; with --strict
    also if anything is warned of, such as stored fields that no flow declares. 2: it could not be checked.
    """
    if every and store is None:
        give_up("--all needs a --store to look at", MISUSED)
    try:
        with _quiet(), _Progress(wanted=every) as progress:
            catalogue = find_app(app).catalogue
            report = asyncio.run(deployment.check(catalogue, store, every=every, report=progress.show))
    except BrokenApp as problem:
        _tell_broken(str(problem), as_json)
        raise typer.Exit(FAILED) from None
    except (NoApp, NotChecked) as problem:
        give_up(str(problem), MISUSED)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    deployable = report.deployable and not (strict and report.notes)
    if as_json:
        told = _as_json(report, catalogue.kinds(), store, every=every)
        say_json({"deployable": deployable, **told})
    else:
        _say(app, report, catalogue.kinds(), store, every=every)
        _print(_verdict(report, deployable=deployable))
    raise typer.Exit(0 if deployable else FAILED)


@contextmanager
def _quiet() -> Iterator[None]:
    """What matters is in the report; a traceback of an upgrade may have what is stored in it."""
    logger = logging.getLogger("flowstate_server")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _tell_broken(problem: str, as_json: bool) -> None:
    if as_json:
        say_json({"deployable": False, "problem": problem})
    else:
        _print(f"problem: {problem}", "Not deployable.")


def _say(app: str, report: Report, flows: list[str], store: str | None, *, every: bool) -> None:
    agreed, looked = report.agreed, report.looked
    lines = [f"{app}: {_count(len(flows), 'flow')}, {', '.join(flows)}"]
    lines += [f"conflict: {error}" for error in agreed.conflicts]
    lines += [f"warning: {note.text}" for note in report.notes]
    if looked is None:
        lines.append("no store was named: what is stored, and the servers on it, were not looked at")
    else:
        counted = ", ".join(_count(looked.records[scope], scope) for scope in ("session", "user", "org"))
        how = "all" if every else "a sample; --all looks at each"
        lines.append(f"{redacted(store or '')}: looked at {counted} ({how})")
        if looked.of_other_flows:
            lines.append(
                f"left out: {_count(looked.of_other_flows, 'record')} of flows that this app has not"
            )
        if looked.damaged:
            told = "flowstate store check says which, when no server uses the store"
            lines.append(f"problem: {_count(len(looked.damaged), 'record')} can't be understood; {told}")
        lines += misfit_lines(looked.misfits.values())
    _print(*lines)


def _verdict(report: Report, *, deployable: bool) -> str:
    warnings = _count(len(report.notes), "warning")
    if deployable:
        return f"Deployable, with {warnings}." if report.notes else "Deployable."
    return f"Not deployable: {warnings}, and --strict." if report.deployable else "Not deployable."


def _as_json(report: Report, flows: list[str], store: str | None, *, every: bool) -> dict[str, Any]:
    agreed, looked = report.agreed, report.looked
    told: dict[str, Any] = {
        "flows": flows,
        "conflicts": [
            {
                "scope": error.scope,
                "field": error.field,
                "flow_a": error.flow_a,
                "flow_b": error.flow_b,
                "reason": error.reason,
                "detail": error.detail,
                "message": str(error),
            }
            for error in agreed.conflicts
        ],
        "warnings": [{"message": note.text, "loud": note.loud} for note in report.notes],
    }
    if looked is not None:
        told["store"] = {
            "url": redacted(store or ""),
            "all": every,
            "looked_at": dict(looked.records),
            "of_other_flows": looked.of_other_flows,
            "damaged": len(looked.damaged),
            "misfits": [
                {
                    **misfit.place._asdict(),
                    "count": misfit.count,
                    "keys": [key._asdict() for key in misfit.keys],
                }
                for _, misfit in sorted(looked.misfits.items())
            ],
        }
    return told


class _Progress:
    """How far it has come, on stderr: a line that changes on a terminal, else one every few seconds."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        terminal = wanted and sys.stderr.isatty()
        self._live = Live(console=Console(stderr=True), transient=True) if terminal else None
        self._told = time.monotonic()

    def __enter__(self) -> _Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, looked: Looked) -> None:
        line = f"looked at {sum(looked.records.values()):,} records ..."
        if self._live is not None:
            self._live.update(Text(line))
        elif self._wanted and time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            print(line, file=sys.stderr, flush=True)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _print(*lines: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text(plain(" ".join(line.split()))))
