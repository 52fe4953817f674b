"""The synchronous client: where everything begins."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import grpc

from flowstate_client import client as asynchronous
from flowstate_client.codec import Codec
from flowstate_client.config import ClientConfig
from flowstate_client.correlation import OnCall
from flowstate_client.metadata import MetadataProvider, Plane
from flowstate_client.sync.flows import Flows
from flowstate_client.sync.journal import Journals
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.resources import Resources
from flowstate_client.sync.server import Server
from flowstate_client.sync.sessions import Sessions
from flowstate_client.sync.state import States


class FlowStateClient:
    """The client for code without an event loop, with the names of the asynchronous one. Make it with :meth:`connect`.

    ``flows`` runs actions, ``sessions`` keeps conversations and ``resources`` what goes with them, ``state`` reads and
    writes records and ``journal`` keeps notes (both on the trusted plane, see ``plane`` of :meth:`connect`), ``server``
    tells about the other end.

    It opens with its first use, and closes at the end of ``with``, by :meth:`close`, or when the interpreter exits. Any
    number of threads may use it at once. A call that is interrupted, by Ctrl-C for one, is cancelled.

    Every call raises ``RuntimeError`` in a thread in which an event loop runs, where the asynchronous client belongs,
    and in a process that was forked from the one that opened this: make another client there.
    """

    def __init__(self, client: asynchronous.FlowStateClient) -> None:
        self.target = client.target
        self.config = client.config
        self._client = client
        self._thread = LoopThread(client)

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
        """A client, to be used as ``with FlowStateClient.connect(...) as client`` or as it is. Connects when first
        needed. The arguments are those of the asynchronous client; a ``metadata`` that is no asynchronous function is
        called in a thread, and ``on_call`` in that of the client.

        Raises:
            TypeError: a target is not text.
            ValueError: a target is no address, or something cannot be sent, for example a tenant with a space in it.
        """
        return cls(
            asynchronous.FlowStateClient.connect(
                target,
                tenant=tenant,
                plane=plane,
                user=user,
                org=org,
                token=token,
                tls=tls,
                credentials=credentials,
                metadata=None if metadata is None else _in_a_thread(metadata),
                on_call=on_call,
                config=config,
                codec=codec,
            )
        )

    def __enter__(self) -> Self:
        self._thread.check_caller()
        self._thread.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls and streams of this client and closes its connections. Harmless if done before."""
        self._thread.close()

    def ready(self, timeout: float | None = None) -> None:
        """Connects now; waits ``timeout`` seconds, ``None``: ``ClientConfig.connect_timeout``.

        Raises:
            ConnectError: no connection in time.
        """
        self._thread.run(self._client.ready(timeout))

    @property
    def flows(self) -> Flows:
        """Flows and their actions."""
        return Flows(self._thread, self._opened.flows)

    @property
    def sessions(self) -> Sessions:
        """Sessions and their snapshots."""
        return Sessions(self._thread, self._opened.sessions)

    @property
    def state(self) -> States:
        """State records; trusted plane."""
        return States(self._thread, self._opened.state)

    @property
    def resources(self) -> Resources:
        """Resources of sessions, users and orgs."""
        return Resources(self._thread, self._opened.resources)

    @property
    def journal(self) -> Journals:
        """Notes about sessions; trusted plane."""
        return Journals(self._thread, self._opened.journal)

    @property
    def server(self) -> Server:
        """The server's version, limits and capabilities."""
        return Server(self._thread, self._opened.server)

    @property
    def _opened(self) -> asynchronous.FlowStateClient:
        self._thread.open()
        return self._client


def _in_a_thread(provider: MetadataProvider) -> MetadataProvider:
    """The provider, which may block, without holding up what the client does meanwhile."""

    async def provide() -> Mapping[str, str]:
        told = await asyncio.to_thread(provider)
        return await told if inspect.isawaitable(told) else told

    return provide
