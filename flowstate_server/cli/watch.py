"""``flowstate watch``: what a flow shows of a session, live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from flowstate_client import FlowStateClient, Snapshot
from flowstate_server.cli.connection import Connection, OnlyOfOrg, OnlyOfUser
from flowstate_server.cli.live_view import LiveView
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.view_lines import ViewLines


@dataclass(frozen=True)
class _Connection(Connection):  # on neither plane: a watch shows the same on both
    user: OnlyOfUser = ""
    org: OnlyOfOrg = ""


@with_option_groups
def watch(
    session_id: Annotated[str, typer.Argument(help="Id of the session.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="On a terminal: a line for each change, with its time.")
    ] = False,
    *,
    connection: _Connection,
) -> None:
    """Watch what clients see of a session until it is deleted: a table that follows it on a terminal, a whole view in
    each line of JSON in a pipe.

    What has just changed stands out. Ctrl-C ends it.
    """
    console = Console(highlight=False)
    redraws = console.is_terminal and not console.is_dumb_terminal and not raw
    display = LiveView(console) if redraws else None
    show = display.show if display else _printer(console)

    async def work(client: FlowStateClient) -> None:
        with display or nullcontext():
            async with client.sessions.watch(session_id) as views:
                async for view in views:
                    show(view)
        if display:
            console.print("the session was deleted", style="dim")

    connection.run(work)


def _printer(console: Console) -> Callable[[Snapshot[Any]], None]:
    if not console.is_terminal:
        return lambda view: print(view_json(view), flush=True)
    lines = ViewLines()

    def show(view: Snapshot[Any]) -> None:
        for line in lines.of(view):
            console.print(line, no_wrap=True, overflow="ellipsis")

    return show


def view_json(view: Snapshot[Any]) -> str:
    """The view as one line of JSON."""
    return orjson.dumps(view, option=orjson.OPT_NON_STR_KEYS).decode()
