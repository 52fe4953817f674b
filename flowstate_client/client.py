"""The client: where everything begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc

from flowstate_client.addresses import checked_targets, joined
from flowstate_client.calls import Caller
from flowstate_client.channel import Channels
from flowstate_client.codec import Codec, JsonCodec
from flowstate_client.config import ClientConfig
from flowstate_client.correlation import OnCall
from flowstate_client.errors import ClientClosedError, ConnectError
from flowstate_client.flows import Flows
from flowstate_client.journal import Journals
from flowstate_client.metadata import CallMetadata, MetadataProvider, Plane
from flowstate_client.resources import Resources
from flowstate_client.server import Server
from flowstate_client.sessions import Sessions
from flowstate_client.state import States


class FlowStateClient:
    """A client of one FlowState server or fleet, for one event loop. Make it with :meth:`connect`.

    ``flows`` runs actions, ``sessions`` keeps conversations and ``resources`` what goes with them, ``state`` reads and
    writes records and ``journal`` keeps notes (both on the trusted plane, see ``plane`` of :meth:`connect`), ``server``
    tells about the other end.
    Outside ``async with`` they raise ``ClientClosedError``.
    """

    def __init__(
        self,
        targets: tuple[str, ...],
        *,
        metadata: CallMetadata,
        credentials: grpc.ChannelCredentials | None,
        config: ClientConfig,
        codec: Codec,
        on_call: OnCall | None,
        user: str,
        org: str,
    ) -> None:
        self.target = ", ".join(targets)
        self._targets = targets
        self.config = config
        self._metadata = metadata
        self._credentials = credentials
        self._codec = codec
        self._on_call = on_call
        self._user = user
        self._org = org
        self._open: _Open | None = None

    @classmethod
    def connect(
        cls,
        target: str | Sequence[str],
        *,
        tenant: str | None = None,
        plane: Plane | None = None,
        user: str | None = None,
        org: str | None = None,
        token: str | None = None,
        tls: bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: MetadataProvider | None = None,
        on_call: OnCall | None = None,
        config: ClientConfig | None = None,
        codec: Codec | None = None,
    ) -> FlowStateClient:
        """A client to be used as ``async with FlowStateClient.connect(...) as client``. Connects when first needed.

        Args:
            target: ``host:port``, ``dns:///host:port``, ``unix:path``. Or several ``host:port`` of one fleet: their
                names are looked up when the client is opened, it connects to one of them, and goes to another when
                that one fails or drains. With TLS each must have a certificate for the first name.
            tenant: ``None``: the no-tenant space.
            plane: For servers that run without credentials: who this client claims to be. Default: client;
                ``state`` and ``journal`` need ``"trusted"``. A token has its plane from the server's file.
            user, org: Who calls, for servers without credentials; and for whom, where a call names nobody.
            token: Bearer token. Sent in clear unless the connection is secured.
            tls: Secure the connection with the system's certificates.
            credentials: Secure it with these (``grpc.ssl_channel_credentials(...)``).
            metadata: A function, asynchronous or not, that is asked before every attempt of a call for more metadata,
                such as ``{"authorization": "Bearer ..."}``; for tokens that expire, for traces. Where the server takes
                the caller for nobody it is asked once more, and the call is made again if it says something else.
            on_call: Told of each call when it is over: its method, its correlation id, how it ended and how long it
                took. For logs and metrics; it must be quick.
            config: Times, retries, connections.
            codec: Another way between Python values and JSON.

        Raises:
            TypeError: a target is not text.
            ValueError: a target is no address, or something cannot be sent, for example a tenant with a space in it.
        """
        if tls and credentials is None:
            credentials = grpc.ssl_channel_credentials()
        return cls(
            checked_targets(target),
            metadata=CallMetadata(
                tenant=tenant, plane=plane, user=user, org=org, token=token, provider=metadata
            ),
            credentials=credentials,
            config=config or ClientConfig(),
            codec=codec or JsonCodec(),
            on_call=on_call,
            user=user or "",
            org=org or "",
        )

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise ClientClosedError("the client is open already; make another one")
        authority = self._targets[0] if len(self._targets) > 1 else None
        channels = Channels(await joined(self._targets), self.config, self._credentials, authority)
        caller = Caller(channels, self._metadata, self.config, self._codec, self._on_call)
        self._open = _Open(caller, self._user, self._org)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls and streams of this client and closes its connections. Harmless if done before."""
        if self._open is not None:
            await self._open.caller.channels.close()

    async def ready(self, timeout: float | None = None) -> None:
        """Connects now; waits ``timeout`` seconds, ``None``: ``ClientConfig.connect_timeout``.

        Raises:
            ConnectError: no connection in time.
        """
        limit = self.config.connect_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await self._opened.caller.channels.unary.channel_ready()
        except TimeoutError:
            problem = f"no connection to {self.target} within {limit:g} s"
            raise ConnectError(problem, code=grpc.StatusCode.UNAVAILABLE) from None

    @property
    def flows(self) -> Flows:
        """Flows and their actions."""
        return self._opened.flows

    @property
    def sessions(self) -> Sessions:
        """Sessions and their snapshots."""
        return self._opened.sessions

    @property
    def state(self) -> States:
        """State records; trusted plane."""
        return self._opened.state

    @property
    def resources(self) -> Resources:
        """Resources of sessions, users and orgs."""
        return self._opened.resources

    @property
    def journal(self) -> Journals:
        """Notes about sessions; trusted plane."""
        return self._opened.journal

    @property
    def server(self) -> Server:
        """The server's version, limits and capabilities."""
        return self._opened.server

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise ClientClosedError(
                "use the client inside `async with FlowStateClient.connect(...) as client:`"
            )
        return self._open


class _Open:
    """What an open client has."""

    def __init__(self, caller: Caller, user: str, org: str) -> None:
        self.caller = caller
        self.flows = Flows(caller, user=user, org=org)
        self.sessions = Sessions(caller, user=user, org=org)
        self.state = States(caller)
        self.resources = Resources(self.state)
        self.journal = Journals(caller)
        self.server = Server(caller)
