"""``flowstate journal``: notes about a session."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from flowstate_client import FlowStateClient, JournalEntry
from flowstate_server.cli.callers import AsTrusted
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.json_argument import json_argument, text_of_stdin
from flowstate_server.cli.listing import DEFAULT_LIMIT, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.tables import Column
from flowstate_server.cli.telling import say
from flowstate_server.cli.terminal_text import plain, plain_lines, quoted, short_time

journal = typer.Typer(
    name="journal", cls=Group, no_args_is_help=True, help="Read and write notes about a session."
)

_COLUMNS = (Column("TIME"), Column("SOURCE"), Column("TAGS"), Column("NOTE", "wrap"))

SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")]


@journal.command(
    "list",
    cls=Command,
    epilog=examples(
        "flowstate journal list SESSION_ID",
        "flowstate journal list SESSION_ID --limit 0 | jq -r .text",
    ),
)
@with_option_groups
def list_(
    session_id: SessionId,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The other way round.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="How many to list at most, the newest; 0: all.")
    ] = DEFAULT_LIMIT,
    *,
    connection: AsTrusted,
) -> None:
    """List the notes about a session, in the order in which they were made. Of many the newest are shown.

    Calls as a trusted caller, with a token as what that is for.
    """

    async def work(client: FlowStateClient) -> None:
        notes = client.journal.list(
            session_id, newest_first=newest_first or limit > 0, page_size=page_size(limit)
        )
        turned = limit > 0 and not newest_first
        await show_list(notes, limit, columns=_COLUMNS, row=_row, told=_told, turned=turned)

    connection.run(work)


@journal.command(
    cls=Command,
    epilog=examples(
        "flowstate journal append SESSION_ID 'refund approved' --source desk",
        "flowstate journal append SESSION_ID paid --data '{\"amount\": 3}' --tag money",
    ),
)
@with_option_groups
def append(
    session_id: SessionId,
    text: Annotated[str, typer.Argument(metavar="TEXT|-", help="The note; - reads it from stdin.")],
    source: Annotated[str, typer.Option(help="Who notes it.")] = "",
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A label; may be given again.")
    ] = None,
    data: Annotated[str, typer.Option(metavar="JSON|-", help="Whatever goes with it; - reads stdin.")] = "",
    request: Annotated[str, typer.Option(metavar="REQUEST_ID", help="The request that it is about.")] = "",
    *,
    connection: AsTrusted,
) -> None:
    """Note something about a session. Calls as a trusted caller, with a token as what that is for."""
    if text == data == "-":
        give_up("only one of TEXT and --data can be read from stdin", MISUSED)
    noted = text_of_stdin("the note").rstrip("\n") if text == "-" else text
    value = json_argument(data, "--data") if data else None

    async def work(client: FlowStateClient) -> None:
        entry = await client.journal.append(
            session_id, noted, source=source, tags=tags or (), data=value, request_id=request
        )
        say(_told(entry), f"appended {plain(entry.id)}")

    connection.run(work)


def _told(entry: JournalEntry) -> dict[str, Any]:
    values = {one.name: getattr(entry, one.name) for one in fields(entry)}
    return {"entry_id": values.pop("id"), **values}


def _row(entry: JournalEntry) -> tuple[str, ...]:
    noted = plain_lines(entry.text) + (f" {quoted(entry.data)}" if entry.data is not None else "")
    return (short_time(entry.create_time), plain(entry.source), ", ".join(map(plain, entry.tags)), noted)
