"""``flowstate watch``: what a flow shows of a session, live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from flowstate_client import FlowStateClient, FlowStateError, Snapshot
from flowstate_server.cli.connection import (
    DEFAULT_SERVER,
    ORG_VARIABLE,
    USER_VARIABLE,
    Server,
    Tenant,
    Tls,
    TlsCa,
    Token,
    connect,
    reach,
)
from flowstate_server.cli.problem import INTERRUPTED, MISUSED, code_of, give_up
from flowstate_server.cli.view_lines import ViewLines


def watch(
    session_id: Annotated[str, typer.Argument(help="Id of the session.")],
    server: Server = DEFAULT_SERVER,
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
    tls: Tls = False,
    tls_ca: TlsCa = None,
) -> None:
    """Watch what clients see of a session until it is deleted: what changed on a terminal, whole views in a pipe."""
    client = connect(
        server,
        # A token that is bound to no user is refused when the call claims one.
        user="" if token else user,
        org="" if token else org,
        tenant=tenant,
        token=token,
        trusted=False,  # a watch shows the same on both planes
        tls=tls,
        tls_ca=tls_ca,
    )
    try:
        asyncio.run(_watch(client, session_id, _printer(), partial(reach, tls=tls, tls_ca=tls_ca)))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        give_up(str(error), MISUSED)
    except FlowStateError as error:
        give_up(str(error), code_of(error))


async def _watch(
    client: FlowStateClient,
    session_id: str,
    show: Callable[[Snapshot[Any]], None],
    reach: Callable[[FlowStateClient], Coroutine[Any, Any, None]],
) -> None:
    async with client:
        await reach(client)
        async with client.sessions.watch(session_id) as views:
            async for view in views:
                show(view)


def _printer() -> Callable[[Snapshot[Any]], None]:
    console = Console(highlight=False)
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
