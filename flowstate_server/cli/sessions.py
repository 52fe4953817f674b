"""``flowstate sessions``: find, make, change and delete conversations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from flowstate_client import FlowStateClient
from flowstate_server.cli import session_text
from flowstate_server.cli.asking import Yes, ask
from flowstate_server.cli.callers import OfMany, OfOneSession
from flowstate_server.cli.commands import Command, Group
from flowstate_server.cli.help_examples import examples
from flowstate_server.cli.json_argument import json_object
from flowstate_server.cli.listing import DEFAULT_LIMIT, Limit, page_size, show_list
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.session_changes import create, resolve, update
from flowstate_server.cli.terminal_text import plain

sessions = typer.Typer(
    name="sessions", cls=Group, no_args_is_help=True, help="Find, make, change and delete sessions."
)

_TIMES = [
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
]

SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")]


@sessions.command(
    "list",
    cls=Command,
    epilog=examples(
        "flowstate sessions list --flow chat --user ada",
        "flowstate sessions list --metadata '{\"ticket\": 7}' | jq -r .session_id",
    ),
)
@with_option_groups
def list_(
    flow: Annotated[str, typer.Option("--flow", metavar="KIND", help="Only those of this flow.")] = "",
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only those with this tag; given again, with all of them."),
    ] = None,
    metadata: Annotated[
        str,
        typer.Option(metavar="JSON", help="Only those whose metadata has these keys with these values."),
    ] = "",
    active_after: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            formats=_TIMES,
            help="Only those in which something happened since, such as 2026-11-29 or '2026-11-29 14:00'.",
        ),
    ] = None,
    ephemeral: Annotated[
        bool,
        typer.Option("--ephemeral", help="Also those of actions that were called without a session."),
    ] = False,
    limit: Limit = DEFAULT_LIMIT,
    *,
    connection: OfMany,
) -> None:
    """List sessions, newest first."""
    wanted = json_object(metadata, "--metadata") if metadata else None

    async def work(client: FlowStateClient) -> None:
        found = client.sessions.list(
            flow_kind=flow,
            user_id=connection.user,
            org_id=connection.org,
            metadata=wanted,
            tags=tags or (),
            active_after=active_after.astimezone() if active_after else None,
            include_ephemeral=ephemeral,
            page_size=page_size(limit),
        )
        await show_list(
            found, limit, columns=session_text.COLUMNS, row=session_text.row, told=session_text.told
        )

    connection.run(work)


@sessions.command(cls=Command, epilog=examples("flowstate sessions show SESSION_ID"))
@with_option_groups
def show(session_id: SessionId, *, connection: OfOneSession) -> None:
    """Show a session, without what was said in it."""

    async def work(client: FlowStateClient) -> None:
        session_text.show(await client.sessions.get(session_id))

    connection.run(work)


sessions.command(
    cls=Command,
    epilog=examples(
        "flowstate sessions create chat --user ada --title 'Summer'",
        "flowstate sessions create chat --metadata '{\"ticket\": 7}' | jq -r .session_id",
    ),
)(create)
sessions.command(
    cls=Command,
    epilog=examples("flowstate sessions resolve chat '{\"ticket\": 7}' --user ada"),
)(resolve)
sessions.command(
    cls=Command,
    epilog=examples(
        "flowstate sessions update SESSION_ID --title 'Winter' --tag vip",
        "flowstate sessions update SESSION_ID --metadata '{\"ticket\": 8}' --at 3",
    ),
)(update)


@sessions.command(
    cls=Command,
    epilog=examples(
        "flowstate sessions delete SESSION_ID",
        "flowstate sessions list --tag old --limit 0 | jq -r .session_id |",
        "    xargs flowstate sessions delete",
    ),
)
@with_option_groups
def delete(
    session_ids: Annotated[
        list[str], typer.Argument(metavar="SESSION_ID...", help="Ids of the sessions.", show_default=False)
    ],
    at: Annotated[
        int | None,
        typer.Option("--at", min=1, metavar="VERSION", help="Only if the session is at this version."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A session that is not there is fine.")
    ] = False,
    yes: Yes = False,
    *,
    connection: OfOneSession,
) -> None:
    """Delete sessions with everything in them; what runs in them is cancelled.

    They are deleted one after the other, up to the first that can't be.
    """
    if at is not None and len(session_ids) > 1:
        give_up("--at is for one session, not for several", MISUSED)
    named = f"session {plain(session_ids[0])}" if len(session_ids) == 1 else f"{len(session_ids)} sessions"
    ask(f"Delete {named} with everything in {'it' if len(session_ids) == 1 else 'them'}?", yes=yes)

    async def work(client: FlowStateClient) -> None:
        for session_id in session_ids:
            await client.sessions.delete(session_id, at=at, allow_missing=allow_missing)

    connection.run(work)
