"""``flowstate store``: migrate, check and copy what stores keep, while no server uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from flowstate_server import maintenance
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.problem import FAILED, INTERRUPTED, MISUSED, give_up
from flowstate_server.cli.progress import CountBar
from flowstate_server.cli.telling import on_terminal, say
from flowstate_server.maintenance import Copied, Unmaintained
from flowstate_server.store_urls import FORMS, redacted

# Differences are told to be looked into, one by one; the count says how many there are.
MOST_SHOWN = 20
STALE = "FROM has changed since the copy was begun, or TO was written to; copy it again, to an empty TO"

Url = Annotated[str, typer.Argument(metavar="URL", help=FORMS)]

store = typer.Typer(
    name="store", cls=Group, no_args_is_help=True, help="Migrate, check and copy stores that no server uses."
)


@store.command(
    cls=Command,
    epilog=examples(
        "flowstate store migrate sqlite:///chat.db",
        "flowstate store migrate postgres://me@db/flowstate",
    ),
)
def migrate(url: Url) -> None:
    """Create the store of URL, or bring it up to date; opening it for a server does the same."""

    async def work() -> int:
        await maintenance.migrate(url)
        say({"event": "migrated", "store": redacted(url)}, f"{redacted(url)} is up to date.")
        return 0

    _run(work())


@store.command(
    cls=Command,
    epilog=examples(
        "flowstate store check sqlite:///chat.db",
        "flowstate store check sqlite:///chat.db | jq -r .problem",
    ),
)
def check(
    url: Url,
    blobs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where its blobs are, if not in it.")
    ] = None,
) -> None:
    """Look whether what the store keeps fits together: logs, counters, requests, states. Exit code 1 if not.

    It can't find what is missing as a whole: commits that SQLite dropped from a damaged -wal file, or an older backup.
    """

    async def work() -> int:
        problems = 0
        with CountBar() as bar:

            def report(table: str, records: int) -> None:
                bar.show(f"Checked {records:,} {table.replace('_', ' ')}")

            async for problem in maintenance.check(url, blobs=blobs, report=report):
                problems += 1
                say({"event": "problem", "problem": problem}, problem)
        found = f"{problems} problem{'' if problems == 1 else 's'}" if problems else "no problem"
        say({"event": "checked", "problems": problems}, f"{redacted(url)}: {found}.")
        return FAILED if problems else 0

    _run(work())


@store.command(
    cls=Command,
    epilog=examples("flowstate store copy sqlite:///chat.db postgres://me@db/flowstate"),
)
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=FORMS)],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty one, or one with part of this copy.")],
    from_blobs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the blobs of FROM are, if not in it.")
    ] = None,
    to_blobs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where those of TO are to be, if not in it.")
    ] = None,
) -> None:
    """Copy all that FROM keeps to TO, and compare them. Interrupted, it goes on when it is called again."""

    async def work() -> int:
        found: list[str] = []
        with CountBar() as bar:

            def report(copied: Copied) -> None:
                now = "comparing" if copied.done else next(reversed(copied.counts), "")
                bar.show(f"Copied {sum(copied.counts.values()):,} records, now: {now.replace('_', ' ')}")
                if not on_terminal():
                    say({"event": "copying", "counts": copied.counts}, "")

            copied = await maintenance.copy(
                source, target, report, found.append, source_blobs=from_blobs, target_blobs=to_blobs
            )
        for difference in found[:MOST_SHOWN]:
            say({"event": "difference", "difference": difference}, f"different: {difference}")
        event: dict[str, object] = {"event": "copied", "counts": copied.counts, "differences": len(found)}
        outcome = "compared, no difference"
        if found:
            event["problem"] = STALE
            outcome = f"{len(found)} differences: {STALE}"
        say(event, f"Copied {_counted(copied)}; {outcome}.")
        return FAILED if found else 0

    _run(work())


def _run(work: Coroutine[Any, Any, int]) -> None:
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Unmaintained as error:
        give_up(str(error), FAILED if error.retryable else MISUSED)
    raise typer.Exit(code)


def _counted(copied: Copied) -> str:
    counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in copied.counts.items()]
    return ", ".join(counts) or "nothing"
