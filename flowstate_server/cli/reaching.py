"""The client of a command: it reaches a server, or the command ends with what is wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc.aio
import typer

from flowstate_client import ConnectError, FlowStateClient, FlowStateError, Plane
from flowstate_client.addresses import check_address
from flowstate_server.cli.client_problem import as_typed, code_of, words_of
from flowstate_server.cli.problem import INTERRUPTED, MISUSED, UNREACHABLE, Warnings, give_up

T = TypeVar("T")


class Options(Protocol):
    """See :class:`flowstate_server.cli.connection.Connection`."""

    @property
    def server(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def org(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def plane(self) -> Plane | None: ...
    @property
    def tls(self) -> bool: ...
    @property
    def tls_ca(self) -> Path | None: ...


Work = Callable[[FlowStateClient], Coroutine[Any, Any, T]]

# Patience for the reason why there is no connection. Chosen.
REASON_SECONDS = 2.0

_TLS_PROBLEMS = {
    "Socket closed": "the server closes it; if it speaks TLS, add --tls",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS; leave out --tls and --tls-ca",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted; --tls-ca names a file of those to trust",
}

# OpenSSL's numbers: an issuer that is not known, or a certificate that signs itself.
_UNTRUSTED = frozenset((18, 19, 20, 21))


def run_with_client(
    options: Options,
    work: Work[T],
    hint: Callable[[FlowStateError], str] | None,
    *,
    user: str | None,
    patience: float,
) -> T:
    """See ``Connection.run``."""
    client = client_of(options)
    logger = logging.getLogger("flowstate_client")
    logger.addHandler(warnings := Warnings(logging.WARNING))
    try:
        return asyncio.run(_run(options, client, work, patience))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        give_up(as_typed(str(error)), MISUSED)
    except FlowStateError as error:
        words = words_of(
            error,
            user=options.user if user is None else user,
            token=options.token,
            hint=hint(error) if hint else "",
        )
        give_up(words.sentence, code_of(error), words.facts)
    finally:
        logger.removeHandler(warnings)


async def _run(options: Options, client: FlowStateClient, work: Work[T], patience: float) -> T:
    async with client:
        await reach(client, patience=patience, tls=options.tls, tls_ca=options.tls_ca)
        return await work(client)


def client_of(options: Options) -> FlowStateClient:
    """One for these options, which has not reached anything yet."""
    try:
        check_address(options.server, "--server")
    except ValueError as error:
        give_up(str(error), MISUSED)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC tells of each failed TLS handshake on stderr
    try:
        return FlowStateClient.connect(
            options.server,
            tenant=options.tenant or None,
            # A token that is bound to no user is refused when the call claims one.
            user=None if options.token else options.user or None,
            org=None if options.token else options.org or None,
            token=options.token or None,
            plane=options.plane,
            tls=options.tls,
            credentials=_trusting(options.tls_ca) if options.tls_ca else None,
        )
    except ValueError as error:
        give_up(str(error), MISUSED)


def channel_to(options: Options) -> grpc.aio.Channel:
    """See ``Connection.channel``."""
    if options.tls_ca is not None:
        return grpc.aio.secure_channel(options.server, _trusting(options.tls_ca))
    if options.tls:
        return grpc.aio.secure_channel(options.server, grpc.ssl_channel_credentials())
    return grpc.aio.insecure_channel(options.server)


async def reach(
    client: FlowStateClient, *, patience: float, tls: bool = False, tls_ca: Path | None = None
) -> None:
    """Connect, or end the command soon: calls wait for a server that is away as long as they have time."""
    try:
        await client.ready(patience)
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
