"""``flowstate items``: what was said in a session."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flowstate_client import FlowStateClient, Item
from flowstate_server.cli.callers import OfOneSession
from flowstate_server.cli.listing import DEFAULT_LIMIT, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.tables import Column
from flowstate_server.cli.terminal_text import plain, plain_lines, quoted, short_time

_COLUMNS = (Column("TIME"), Column("WHO"), Column("WHAT", "wrap"))


class Audience(StrEnum):
    CLIENT = "client"
    INTERNAL = "internal"
    HISTORY = "history"


@with_option_groups
def items(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")],
    request: Annotated[str, typer.Option(metavar="REQUEST_ID", help="Only those of this request.")] = "",
    last_turns: Annotated[
        int,
        typer.Option(
            min=0, metavar="NUMBER", help="Only those of so many newest turns; a turn is a completed request."
        ),
    ] = 0,
    audience: Annotated[
        Audience | None,
        typer.Option(help="Only those for these eyes; internal and history need --trusted."),
    ] = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The other way round.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="How many to list at most, the newest; 0: all.")
    ] = DEFAULT_LIMIT,
    *,
    connection: OfOneSession,
) -> None:
    """List what was said in a session, and what tools were called, in the order in which it was.

    Of a long conversation the end is shown. Clients see what is for them; --trusted shows all of it.
    """
    if request and last_turns:
        give_up("--request and --last-turns exclude each other", MISUSED)

    async def work(client: FlowStateClient) -> None:
        found = client.sessions.items(
            session_id,
            request_id=request,
            last_turns=last_turns,
            audience=audience,
            newest_first=newest_first or limit > 0,
            page_size=page_size(limit),
        )
        await show_list(found, limit, columns=_COLUMNS, row=_row, turned=limit > 0 and not newest_first)

    connection.run(work)


def _row(item: Item) -> tuple[str, ...]:
    who = item.role or " ".join(part for part in (item.kind, item.name) if part)
    what = plain_lines(item.text) if item.text else quoted(item.content)
    return (short_time(item.create_time), plain(who), what)
