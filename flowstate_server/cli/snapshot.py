"""``flowstate snapshot``: what clients see of a session, now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from flowstate_client import FlowStateClient, Scope, Snapshot
from flowstate_server.cli.callers import SeenByClients
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.tables import show_record
from flowstate_server.cli.telling import on_terminal, say_json
from flowstate_server.cli.terminal_text import plain, quoted

_SCOPES = (Scope.SESSION, Scope.USER, Scope.ORG)


@with_option_groups
def snapshot(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of the session.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCOPE[.NAME]]...",
            help="Only what has this name in session, user or org, or all of one of them.",
            show_default=False,
        ),
    ] = None,
    *,
    connection: SeenByClients,
) -> None:
    """Show what clients see of a session, its user and its org: names and values, as the flow shows them.

    flowstate watch shows it live.
    """
    wanted = _by_scope(names or ())

    async def work(client: FlowStateClient) -> None:
        view = await client.sessions.snapshot(session_id, names=wanted or None)
        if on_terminal():
            show_record(_facts(view))
        else:
            say_json(view)

    connection.run(work)


def _by_scope(names: Sequence[str]) -> dict[Scope, list[str]]:
    wanted: dict[Scope, list[str]] = {}
    for given in names:
        scope, _, name = given.partition(".")
        if scope not in _SCOPES:
            give_up(f"{given}: a name begins with session, user or org, such as session.{scope}", MISUSED)
        wanted.setdefault(Scope(scope), []).append(name)
    # Who asks for all of a scope gets it, whatever else was named.
    return {scope: [] if "" in chosen else chosen for scope, chosen in wanted.items()}


def _facts(view: Snapshot[Any]) -> Iterator[tuple[str, str]]:
    for scope, version in view.versions.items():
        yield scope, f"version {version}"
        for name, value in view.client_data.get(scope, {}).items():
            yield f"  {plain(name)}", quoted(value)
        for name, failure in view.failures.get(scope, {}).items():
            yield (
                f"  {plain(name)}",
                plain(f"failed: {failure.reason} {quoted(failure.message)} {failure.error_id}"),
            )
    for request_id in view.active_requests:
        yield "running", f"request {plain(request_id)}"
