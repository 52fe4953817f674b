"""``flowstate tail``: the events of a request or a session, live."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flowstate_server.cli.connection import USER_VARIABLE, Connection, OnlyOfOrg, Trusted
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.telling import on_terminal

if TYPE_CHECKING:
    from flowstate_client import EventStream, FlowStateClient, FlowStateError


@dataclass(frozen=True)
class _Connection(Connection):
    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE,
            help="Only if it is this user's request, else anybody's; a token decides by itself.",
        ),
    ] = ""
    org: OnlyOfOrg = ""
    trusted: Trusted = False


@with_option_groups
def tail(
    request_id: Annotated[
        str, typer.Argument(metavar="[REQUEST_ID]", help="Id of the request; not with --session.")
    ] = "",
    session: Annotated[
        str, typer.Option(metavar="SESSION_ID", help="Follow this session, over all its requests.")
    ] = "",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only events of this type; may be given again."),
    ] = None,
    after: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="SEQUENCE",
            help="Begin behind the event of this number: the first of its --raw line, in JSON its cursor.sequence.",
        ),
    ] = 0,
    raw: Annotated[
        bool, typer.Option("--raw", help="On a terminal: a line for each event, with its number and time.")
    ] = False,
    *,
    connection: _Connection,
) -> None:
    """Follow a request until it ends, or a session until it is deleted: as a conversation on a terminal, in lines of
    JSON in a pipe.

    It goes on by itself behind the last event when the connection or the server comes back. Ctrl-C ends it and leaves
    the run alone.
    """
    if bool(request_id) == bool(session):
        give_up("name a request, or a session by --session", MISUSED)
    from flowstate_client import RequestNotFound
    from flowstate_client.filters import EVENT_TYPES, unknown_event_type

    # The client only warns of it, for a newer server may have it; here it is a slip, which would wait for ever.
    if unknown := next((name for name in types or () if name not in EVENT_TYPES), None):
        give_up(f"--type: {unknown_event_type(unknown)}", MISUSED)
    from flowstate_server.cli.conversation import Conversation, shown_in
    from flowstate_server.cli.event_line import event_printer

    console = Console(highlight=False)
    conversation = Conversation(console) if on_terminal() and not raw else None
    show = conversation.show if conversation else event_printer(console, of_session=bool(session))

    def follow(client: FlowStateClient) -> EventStream:
        if session:
            return client.sessions.events(session, after=after, types=types or ())
        return client.flows.handle(request_id).events(after=after, types=types or ())

    async def work(client: FlowStateClient) -> None:
        async with follow(client) as events:
            with shown_in(conversation) if conversation else nullcontext():
                async for event in events:
                    show(event)
        if console.is_terminal and events.deleted:
            console.print("the session was deleted", style="dim")

    def hint(error: FlowStateError) -> str:
        unknown = request_id and isinstance(error, RequestNotFound)
        return f"a session? --session {request_id}" if unknown else ""

    connection.run(work, hint=hint)
