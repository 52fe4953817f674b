"""``flowstate sessions create``, ``resolve`` and ``update``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flowstate_client import FlowStateClient
from flowstate_server.cli import session_text
from flowstate_server.cli.callers import ForSomebody, OfOneSession
from flowstate_server.cli.json_argument import json_object
from flowstate_server.cli.login_name import login_name
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up

Flow = Annotated[str, typer.Argument(metavar="FLOW", help="Kind of the flow.")]
Title = Annotated[str, typer.Option(help="Its title.")]
Description = Annotated[str, typer.Option(help="Its description.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag of it; may be given again.")
]
Metadata = Annotated[str, typer.Option(metavar="JSON|-", help="Its metadata, a JSON object; - reads stdin.")]


@with_option_groups
def create(
    flow: Flow,
    session_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="An id of your own, else one is made.")
    ] = "",
    title: Title = "",
    description: Description = "",
    tags: Tags = None,
    metadata: Metadata = "",
    *,
    connection: ForSomebody,
) -> None:
    """Create a session, and show it."""
    given = _object(metadata)

    async def work(client: FlowStateClient) -> None:
        session = await client.sessions.create(
            flow,
            session_id=session_id or None,
            user_id=_for_whom(connection),
            org_id=connection.org,
            title=title,
            description=description,
            tags=tags or (),
            metadata=given,
        )
        session_text.show(session)

    connection.run(work)


@with_option_groups
def resolve(
    flow: Flow,
    metadata: Annotated[
        str, typer.Argument(metavar="METADATA_JSON|-", help="What it is resolved by; - reads stdin.")
    ],
    title: Title = "",
    description: Description = "",
    tags: Tags = None,
    *,
    connection: ForSomebody,
) -> None:
    """Show the session that was resolved by exactly this metadata before, for this user and flow, or make it.

    Title, description and tags are for a new one.
    """
    wanted = json_object(metadata, "the metadata")

    async def work(client: FlowStateClient) -> None:
        session = await client.sessions.resolve(
            flow,
            metadata=wanted,
            user_id=_for_whom(connection),
            org_id=connection.org,
            title=title,
            description=description,
            tags=tags or (),
        )
        session_text.show(session)

    connection.run(work)


@with_option_groups
def update(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")],
    title: Annotated[str | None, typer.Option(help="A title; '' for none.")] = None,
    description: Annotated[str | None, typer.Option(help="A description; '' for none.")] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A tag, in place of all of them; may be given again."),
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Remove all tags.")] = False,
    metadata: Annotated[
        str, typer.Option(metavar="JSON|-", help="A JSON object in place of all metadata; - reads stdin.")
    ] = "",
    at: Annotated[
        int | None,
        typer.Option("--at", min=1, metavar="VERSION", help="Only if the session is at this version."),
    ] = None,
    *,
    connection: OfOneSession,
) -> None:
    """Change the fields that are given, and show the session."""
    if tags and no_tags:
        give_up("--tag and --no-tags exclude each other", MISUSED)
    if title is None and description is None and not tags and not no_tags and not metadata:
        give_up("name what to change, by --title, --description, --tag, --no-tags or --metadata", MISUSED)
    given = _object(metadata)

    async def work(client: FlowStateClient) -> None:
        session = await client.sessions.update(
            session_id,
            title=title,
            description=description,
            tags=() if no_tags else tags or None,
            metadata=given,
            at=at,
        )
        session_text.show(session)

    connection.run(work)


def _object(metadata: str) -> Mapping[str, Any] | None:
    return json_object(metadata, "--metadata") if metadata else None


def _for_whom(connection: ForSomebody) -> str:
    return connection.user or ("" if connection.token else login_name())
