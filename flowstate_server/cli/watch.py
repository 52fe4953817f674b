"""``flowstate watch``: what a flow shows of a session, live."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flowstate_server.cli.connection import Connection, OnlyOfOrg, OnlyOfUser
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.telling import on_terminal

if TYPE_CHECKING:
    from flowstate_client import FlowStateClient


@dataclass(frozen=True)
class _Connection(Connection):  # on neither plane: a watch shows the same on both
    user: OnlyOfUser = ""
    org: OnlyOfOrg = ""


@with_option_groups
def watch(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")],
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
    from flowstate_server.cli.live_view import LiveView
    from flowstate_server.cli.view_lines import view_printer

    console = Console(highlight=False)
    redraws = on_terminal() and not console.is_dumb_terminal and not raw
    display = LiveView(console) if redraws else None
    show = display.show if display else view_printer(console)

    async def work(client: FlowStateClient) -> None:
        with display or nullcontext():
            async with client.sessions.watch(session_id) as views:
                async for view in views:
                    show(view)
        if console.is_terminal:
            console.print("the session was deleted", style="dim")

    connection.run(work)
