"""The options by which commands reach a server. What reaches it is loaded when they do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flowstate_server.settings import Settings

if TYPE_CHECKING:
    import grpc.aio

    from flowstate_client import FlowStateClient, FlowStateError, Plane

T = TypeVar("T")

USER_VARIABLE = "FLOWSTATE_USER"
ORG_VARIABLE = "FLOWSTATE_ORG"
# Patience of somebody at a terminal: long enough for a handshake across continents, short enough not to look stuck.
# Chosen.
REACH_SECONDS = 3.0
PANEL = "Connection"
"""Where the help shows the options that say how to reach the server, behind those of the command."""

Trusted = Annotated[
    bool,
    typer.Option(
        "--trusted",
        help="Call on the trusted plane (where the server asks for no tokens).",
        rich_help_panel=PANEL,
    ),
]
OnlyOfUser = Annotated[
    str,
    typer.Option(
        envvar=USER_VARIABLE,
        help="Only if it is this user's session, else anybody's; a token decides by itself.",
    ),
]
OnlyOfOrg = Annotated[
    str,
    typer.Option(
        envvar=ORG_VARIABLE, help="Only if it is in this org, else in any; a token decides by itself."
    ),
]


@dataclass(frozen=True)
class Connection:
    """The options by which a command reaches a server. Each command declares anew, in words of its own, which of
    ``user``, ``org`` and ``trusted`` it has for an option.
    """

    server: Annotated[
        str,
        typer.Option(
            "--server",
            "-s",
            envvar="FLOWSTATE_SERVER",
            metavar="HOST:PORT",
            help="The server.",
            rich_help_panel=PANEL,
        ),
    ] = Settings.listen
    user: str = field(default="", init=False)
    org: str = field(default="", init=False)
    tenant: Annotated[
        str,
        typer.Option(
            envvar="FLOWSTATE_TENANT", help="The tenant, if the server has several.", rich_help_panel=PANEL
        ),
    ] = ""
    token: Annotated[
        str,
        typer.Option(
            envvar="FLOWSTATE_TOKEN", help="The bearer token.", show_envvar=True, rich_help_panel=PANEL
        ),
    ] = ""
    trusted: bool = field(default=False, init=False)
    tls: Annotated[
        bool,
        typer.Option("--tls", envvar="FLOWSTATE_TLS", help="Encrypt the connection.", rich_help_panel=PANEL),
    ] = False
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="FLOWSTATE_TLS_CA",
            metavar="FILE",
            help="Certificates to trust (PEM); turns encryption on.",
            rich_help_panel=PANEL,
        ),
    ] = None

    def run(
        self,
        work: Callable[[FlowStateClient], Coroutine[Any, Any, T]],
        *,
        hint: Callable[[FlowStateError], str] | None = None,
        user: str | None = None,
        patience: float | None = None,
    ) -> T:
        """What ``work`` gives, with a client that has reached the server within ``patience`` seconds, by default
        ``REACH_SECONDS``; if that fails, the end of the command. ``hint`` is what the command knows to add to what is
        said of an error, ``user`` for whom it calls, if not for that of the options.
        """
        from flowstate_server.cli.reaching import run_with_client

        return run_with_client(
            self, work, hint, user=user, patience=REACH_SECONDS if patience is None else patience
        )

    @property
    def plane(self) -> Plane | None:
        """The plane to claim, where the server asks for no tokens."""
        return "trusted" if self.trusted else None

    def channel(self) -> grpc.aio.Channel:
        """A connection for what is no service of FlowState. To be made within ``work`` of ``run``."""
        from flowstate_server.cli.reaching import channel_to

        return channel_to(self)
