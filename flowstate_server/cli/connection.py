"""The options by which commands reach a server, and the client made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import grpc
import typer

from flowstate_client import FlowStateClient
from flowstate_server.cli.problem import MISUSED, give_up

DEFAULT_SERVER = "127.0.0.1:7437"

Server = Annotated[
    str, typer.Option("--server", "-s", envvar="FLOWSTATE_SERVER", metavar="HOST:PORT", help="The server.")
]
Tenant = Annotated[
    str, typer.Option(envvar="FLOWSTATE_TENANT", help="The tenant, if the server has several.")
]
Token = Annotated[str, typer.Option(envvar="FLOWSTATE_TOKEN", help="The bearer token.", show_envvar=True)]
Trusted = Annotated[
    bool, typer.Option("--trusted", help="Call on the trusted plane (where the server asks for no tokens).")
]
Tls = Annotated[bool, typer.Option("--tls", envvar="FLOWSTATE_TLS", help="Encrypt the connection.")]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        envvar="FLOWSTATE_TLS_CA", metavar="FILE", help="Certificates to trust (PEM); turns encryption on."
    ),
]


def connect(
    server: str, *, tenant: str, token: str, trusted: bool, tls: bool, tls_ca: Path | None
) -> FlowStateClient:
    """A client, not yet opened."""
    try:
        return FlowStateClient.connect(
            server,
            tenant=tenant or None,
            token=token or None,
            plane="trusted" if trusted else None,
            tls=tls,
            credentials=_trusting(tls_ca) if tls_ca else None,
        )
    except ValueError as error:
        give_up(str(error), MISUSED)


def _trusting(certificates: Path) -> grpc.ChannelCredentials:
    try:
        return grpc.ssl_channel_credentials(certificates.read_bytes())
    except OSError as error:
        give_up(f"--tls-ca {certificates}: {error.strerror}", MISUSED)
