"""``flowstate store``: migrate, check and copy what stores keep, while no server uses them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flowstate_server.cli.problem import FAILED, INTERRUPTED, MISUSED, give_up
from flowstate_server.errors import ServiceError, StoreOpenError
from flowstate_server.store_urls import FORMS, path_of, redacted, store_from_url
from flowstate_server.stores.contract.exporting import Exporting
from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.transfer import Copied, CopyRefused, check_store, copy_store, differences

MOST_SHOWN = 20

Url = Annotated[str, typer.Argument(metavar="URL", help=FORMS)]

store = typer.Typer(
    name="store", no_args_is_help=True, help="Migrate, check and copy stores that no server uses."
)


@store.command()
def migrate(url: Url) -> None:
    """Create the store of URL, or bring it up to date; opening it for a server does the same."""

    async def work(opened: Callable[[str], Awaitable[Store]]) -> int:
        await opened(url)
        _say({"event": "migrated", "store": redacted(url)}, f"{redacted(url)} is up to date.")
        return 0

    _run(work)


@store.command()
def check(url: Url) -> None:
    """Look whether what the store keeps fits together: logs, counters, requests, states. Exit code 1 if not."""

    async def work(opened: Callable[[str], Awaitable[Store]]) -> int:
        kept = await opened(_existing(url))
        problems = 0
        async for problem in check_store(kept):
            problems += 1
            _say({"event": "problem", "problem": problem}, problem)
        found = f"{problems} problem{'' if problems == 1 else 's'}" if problems else "no problem"
        _say({"event": "checked", "problems": problems}, f"{redacted(url)}: {found}.")
        return FAILED if problems else 0

    _run(work)


@store.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=FORMS)],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty one, or one with part of this copy.")],
) -> None:
    """Copy all that FROM keeps to TO, and compare them. Interrupted, it goes on when it is called again."""

    async def work(opened: Callable[[str], Awaitable[Store]]) -> int:
        if isinstance(store_from_url(source), MemoryStore):
            raise CopyRefused(
                "memory is empty in a new process; to copy it, call copy_store where it is in use"
            )
        from_store, to_store = await opened(_existing(source)), await opened(target)
        if not isinstance(from_store, Exporting) or not isinstance(to_store, Exporting):
            raise CopyRefused("one of the stores does not export")
        with _Progress() as progress:
            copied = await copy_store(from_store, to_store, name=source, report=progress.show)
        different = 0
        async for difference in differences(from_store, to_store):
            different += 1
            if different <= MOST_SHOWN:
                _say({"event": "difference", "difference": difference}, f"different: {difference}")
        outcome = f"{different} differences" if different else "compared, no difference"
        _say(
            {"event": "copied", "counts": copied.counts, "differences": different},
            f"Copied {_counted(copied)}; {outcome}.",
        )
        return FAILED if different else 0

    _run(work)


def _existing(url: str) -> str:
    """The URL of a store that is there: opening any other would make an empty one."""
    path = path_of(url)
    if path is not None and not path.exists():
        raise ValueError(f"there is no store at {path}")
    return url


def _run(work: Callable[[Callable[[str], Awaitable[Store]]], Awaitable[int]]) -> None:
    """Do ``work``, which is given what opens stores; they are closed in the end."""
    try:
        code = asyncio.run(_with_stores(work))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (StoreOpenError, CopyRefused, ValueError, TypeError) as error:
        give_up(str(error), MISUSED)
    except ServiceError as error:
        give_up(str(error), FAILED)
    raise typer.Exit(code)


async def _with_stores(work: Callable[[Callable[[str], Awaitable[Store]]], Awaitable[int]]) -> int:
    async with AsyncExitStack() as stores:

        async def opened(url: str) -> Store:
            kept = store_from_url(url)
            await kept.open()
            stores.push_async_callback(kept.close)
            return kept

        return await work(opened)


class _Progress:
    """How far a copy has come: a line that changes on a terminal, lines of JSON in a pipe."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True) if sys.stdout.isatty() else None

    def __enter__(self) -> _Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, copied: Copied) -> None:
        if self._live is not None:
            self._live.update(Text(f"Copied {_counted(copied)} ..."))
        else:
            _say({"event": "copying", "counts": copied.counts}, "")


def _counted(copied: Copied) -> str:
    counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in copied.counts.items()]
    return ", ".join(counts) or "nothing"


def _say(event: dict[str, object], words: str) -> None:
    if sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(words, markup=False)
    else:
        print(orjson.dumps(event).decode(), flush=True)
