"""The options by which commands reach a server, and the call that is made with them."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer

from flowstate_client import ConnectError, FlowStateClient, FlowStateError, Plane
from flowstate_client.addresses import EXAMPLE, check_address
from flowstate_server.cli.problem import (
    INTERRUPTED,
    MISUSED,
    UNREACHABLE,
    Warnings,
    code_of,
    give_up,
    words_of,
)

T = TypeVar("T")

USER_VARIABLE = "FLOWSTATE_USER"
ORG_VARIABLE = "FLOWSTATE_ORG"
# Patience of somebody at a terminal: long enough for a handshake across continents, short enough not to look stuck.
# Chosen.
REACH_SECONDS = 3.0
REASON_SECONDS = 2.0

_TLS_PROBLEMS = {
    "Socket closed": "the server closes it; if it speaks TLS, add --tls",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS; leave out --tls and --tls-ca",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted; --tls-ca names a file of those to trust",
}

# OpenSSL's numbers: an issuer that is not known, or a certificate that signs itself.
_UNTRUSTED = frozenset((18, 19, 20, 21))

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
    ] = EXAMPLE
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
        told: Callable[[FlowStateError], str] = words_of,
        *,
        patience: float | None = None,
    ) -> T:
        """What ``work`` gives, with a client that has reached the server within ``patience`` seconds, by default
        ``REACH_SECONDS``; if that fails, the end of the command, with what ``told`` says of it.
        """
        client = self._client()
        logger = logging.getLogger("flowstate_client")
        logger.addHandler(warnings := Warnings(logging.WARNING))
        try:
            return asyncio.run(self._run(client, work, patience))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except ValueError as error:
            give_up(str(error), MISUSED)
        except FlowStateError as error:
            give_up(told(error), code_of(error))
        finally:
            logger.removeHandler(warnings)

    async def _run(
        self,
        client: FlowStateClient,
        work: Callable[[FlowStateClient], Coroutine[Any, Any, T]],
        patience: float | None,
    ) -> T:
        async with client:
            await reach(client, tls=self.tls, tls_ca=self.tls_ca, patience=patience)
            return await work(client)

    @property
    def plane(self) -> Plane | None:
        """The plane to claim, where the server asks for no tokens."""
        return "trusted" if self.trusted else None

    def channel(self) -> grpc.aio.Channel:
        """A connection for what is no service of FlowState. To be made within ``work`` of ``run``."""
        if self.tls_ca is not None:
            return grpc.aio.secure_channel(self.server, _trusting(self.tls_ca))
        if self.tls:
            return grpc.aio.secure_channel(self.server, grpc.ssl_channel_credentials())
        return grpc.aio.insecure_channel(self.server)

    def _client(self) -> FlowStateClient:
        try:
            check_address(self.server, "--server")
        except ValueError as error:
            give_up(str(error), MISUSED)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC tells of each failed TLS handshake on stderr
        try:
            return FlowStateClient.connect(
                self.server,
                tenant=self.tenant or None,
                # A token that is bound to no user is refused when the call claims one.
                user=None if self.token else self.user or None,
                org=None if self.token else self.org or None,
                token=self.token or None,
                plane=self.plane,
                tls=self.tls,
                credentials=_trusting(self.tls_ca) if self.tls_ca else None,
            )
        except ValueError as error:
            give_up(str(error), MISUSED)


async def reach(
    client: FlowStateClient, *, tls: bool = False, tls_ca: Path | None = None, patience: float | None = None
) -> None:
    """Connect, or end the command soon: calls wait for a server that is away as long as they have time."""
    try:
        await client.ready(REACH_SECONDS if patience is None else patience)
    except ConnectError:
        hint = await _certificate_problem(client.target, tls_ca) if tls or tls_ca else ""
        hint = hint or await _tls_hint(client)
        give_up(
            f"no connection to {client.target}: {hint}" if hint else f"no server at {client.target}",
            UNREACHABLE,
        )


async def _tls_hint(client: FlowStateClient) -> str:
    """From what a read says, which does not wait for the connection; empty if TLS is not the problem."""
    problem = ""
    try:
        async with asyncio.timeout(REASON_SECONDS):
            await client.server.info()
    except (FlowStateError, TimeoutError) as error:
        problem = str(error)
    return next((hint for text, hint in _TLS_PROBLEMS.items() if text in problem), "")


async def _certificate_problem(target: str, tls_ca: Path | None) -> str:
    """Why the server's certificate is refused; empty if it is not. gRPC says it of one address only, and nothing of
    a certificate for another name."""
    host, _, port = target.rpartition(":")
    context = ssl.create_default_context(cafile=tls_ca)
    try:
        async with asyncio.timeout(REASON_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
            writer.close()
    except ssl.SSLCertVerificationError as error:
        trust = "; --tls-ca names a file of those to trust" if error.verify_code in _UNTRUSTED else ""
        return f"its certificate is refused: {error.verify_message.rstrip('.')}{trust}"
    except (OSError, ValueError):  # a target of several, or that is no host and port
        pass
    return ""


def _trusting(certificates: Path) -> grpc.ChannelCredentials:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificates)
        return grpc.ssl_channel_credentials(certificates.read_bytes())
    except ssl.SSLError:
        give_up(f"--tls-ca {certificates}: holds no certificate in PEM", MISUSED)
    except OSError as error:
        give_up(f"--tls-ca {certificates}: {error.strerror}", MISUSED)
