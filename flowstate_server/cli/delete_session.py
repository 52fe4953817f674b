"""``flowstate delete-session``: a session with everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from flowstate_client import FlowStateClient
from flowstate_server.cli.connection import Connection, OnlyOfOrg, OnlyOfUser, Trusted
from flowstate_server.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class _Connection(Connection):
    user: OnlyOfUser = ""
    org: OnlyOfOrg = ""
    trusted: Trusted = False


@with_option_groups
def delete_session(
    session_id: Annotated[str, typer.Argument(help="Id of the session.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Only if the session is at this version.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A session that is not there is fine.")
    ] = False,
    *,
    connection: _Connection,
) -> None:
    """Delete a session with everything in it; what runs in it is cancelled."""

    async def work(client: FlowStateClient) -> None:
        await client.sessions.delete(session_id, at=version, allow_missing=allow_missing)

    connection.run(work)
