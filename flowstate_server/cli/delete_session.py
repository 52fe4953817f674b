"""``flowstate delete-session``: a session with everything in it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from flowstate_client import FlowStateError
from flowstate_server.cli.connection import (
    DEFAULT_SERVER,
    ORG_VARIABLE,
    USER_VARIABLE,
    Server,
    Tenant,
    Tls,
    TlsCa,
    Token,
    Trusted,
    connect,
    reach,
)
from flowstate_server.cli.problem import INTERRUPTED, MISUSED, code_of, give_up


def delete_session(
    session_id: Annotated[str, typer.Argument(help="Id of the session.")],
    server: Server = DEFAULT_SERVER,
    version: Annotated[
        int | None, typer.Option(min=1, help="Only if the session is at this version.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A session that is not there is fine.")
    ] = False,
    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE, help="Only if it is this user's session; a token decides by itself."
        ),
    ] = "",
    org: Annotated[
        str, typer.Option(envvar=ORG_VARIABLE, help="Only if it is in this org; a token decides by itself.")
    ] = "",
    tenant: Tenant = "",
    token: Token = "",
    trusted: Trusted = False,
    tls: Tls = False,
    tls_ca: TlsCa = None,
) -> None:
    """Delete a session with everything in it; what runs in it is cancelled."""
    client = connect(
        server,
        # A token that is bound to no user is refused when the call claims one.
        user="" if token else user,
        org="" if token else org,
        tenant=tenant,
        token=token,
        trusted=trusted,
        tls=tls,
        tls_ca=tls_ca,
    )

    async def delete() -> None:
        async with client:
            await reach(client, tls=tls, tls_ca=tls_ca)
            await client.sessions.delete(session_id, at=version, allow_missing=allow_missing)

    try:
        asyncio.run(delete())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        give_up(str(error), MISUSED)
    except FlowStateError as error:
        give_up(str(error), code_of(error))
