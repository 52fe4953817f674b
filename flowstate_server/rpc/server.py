"""The gRPC server: an engine behind the envelope, with health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import cast

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from flowstate.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from flowstate.v1.flow_service_pb2_grpc import add_FlowServiceServicer_to_server
from flowstate.v1.journal_service_pb2_grpc import add_JournalServiceServicer_to_server
from flowstate.v1.resource_service_pb2_grpc import add_ResourceServiceServicer_to_server
from flowstate.v1.server_service_pb2_grpc import add_ServerServiceServicer_to_server
from flowstate.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from flowstate.v1.state_service_pb2_grpc import add_StateServiceServicer_to_server
from flowstate_server.engine.engine import Engine
from flowstate_server.model.clock import Seconds
from flowstate_server.rpc.admission import Admission
from flowstate_server.rpc.authenticators import Authenticator, OpenAuthenticator, TokenAuthenticator
from flowstate_server.rpc.call_context import Call
from flowstate_server.rpc.certificates import Certificates, read_certificate
from flowstate_server.rpc.envelope import Envelope
from flowstate_server.rpc.event_servicer import EventServicer
from flowstate_server.rpc.flow_servicer import FlowServicer
from flowstate_server.rpc.grpc_log import quieten
from flowstate_server.rpc.journal_servicer import JournalServicer
from flowstate_server.rpc.listening import check_free, check_listening, refusal
from flowstate_server.rpc.methods import SERVED_SERVICES
from flowstate_server.rpc.reflection import add_reflection
from flowstate_server.rpc.resource_servicer import ResourceServicer
from flowstate_server.rpc.server_servicer import ServerServicer
from flowstate_server.rpc.session_servicer import SessionServicer
from flowstate_server.rpc.state_servicer import StateServicer
from flowstate_server.rpc.token_file import TokenPrincipals, read_tokens
from flowstate_server.settings import ServerSettings

DRAIN_SPREAD = 2.0
"""Seconds over which the open streams are ended, so that their readers come to other servers one by one."""

# Seconds ahead of the end at which unary calls are answered with SERVER_DRAINING, so that the answer still gets out.
_LAST_MOMENT = 0.25
# What is larger than a message may be is received up to this many times the limit, to be refused with its reason.
_RECEIVED = 2
# Calls that wait for the loop to take them, at least. gRPC drops what is beyond, without a reason, by default at random
# from 1,000 on; it is our own limits that shall answer. But nobody knows yet who calls, and each call that waits takes
# some 12 KiB, and what came of its message: beyond what the limits let in, few have to wait.
_PENDING_CALLS = 20_000
_MINUTE_MS = 60_000


class _ByPath:
    """A server whose methods are found by the path of each call.

    Those that are registered as well, as generated code does, each have a future on which grpc.aio waits: for every
    call it adds a callback to all of them and takes it away again.
    """

    def __init__(self, server: aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        pass


class FlowStateServer:
    """Serves an open engine; :meth:`stop` closes it.

    Raises (on construction):
        ValueError: the settings would serve callers unprotected beyond loopback, or a file can't be read.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ServerSettings | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings = settings or ServerSettings()
        self._reloading = asyncio.Lock()
        self._principals = _read_principals(settings) if authenticator is None else None
        self._authenticator = authenticator or _authenticator(settings, self._principals)
        check_listening(
            settings.listen,
            tls=settings.tls_cert is not None and settings.tls_key is not None,
            credentials=not isinstance(self._authenticator, OpenAuthenticator),
            insecure=settings.insecure,
        )
        certificate = _read_certificate(settings)
        self._certificates = None if certificate is None else Certificates(certificate)
        self._admission = Admission(settings)
        self._health = health.aio.HealthServicer()
        self._server = self._build()

    def _build(self) -> aio.Server:
        settings, engine = self._settings, self._engine
        quieten()
        envelope = Envelope(self._authenticator, self._admission, settings, engine.observer)
        server = aio.server(interceptors=(envelope,), options=_channel_options(settings))
        methods = cast("aio.Server", _ByPath(server))
        # What is not served yet they lack, and the envelope refuses it before anybody looks for it.
        add_FlowServiceServicer_to_server(FlowServicer(engine, self._admission), methods)
        add_EventServiceServicer_to_server(EventServicer(engine), methods)
        add_SessionServiceServicer_to_server(SessionServicer(engine), methods)
        add_StateServiceServicer_to_server(StateServicer(engine), methods)
        add_ResourceServiceServicer_to_server(ResourceServicer(engine), methods)
        add_JournalServiceServicer_to_server(JournalServicer(engine), methods)
        add_ServerServiceServicer_to_server(ServerServicer(engine, settings), methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        if settings.reflection:
            add_reflection((*SERVED_SERVICES, health.SERVICE_NAME), server)
        return server

    def check_address(self) -> None:
        """For who wants to know it before the engine is opened, which may make a store.

        Raises:
            OSError: another process listens there already.
        """
        check_free(self._settings.listen, shared=self._settings.reuse_port)

    async def start(self) -> int:
        """Listen, then report healthy, from now on as long as the store answers; the port listened on.

        Raises:
            PermissionError: the address can't be listened on, now or later.
            OSError: it can't be listened on for now.
        """
        await self._report(HealthCheckResponse.NOT_SERVING)
        port = self._listen()
        await self._server.start()
        monitor = self._engine.store_monitor
        monitor.tell(self._follow_store)
        await self._follow_store(monitor.available)
        return port

    def _listen(self) -> int:
        settings = self._settings
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(settings.listen)
            else:
                port = self._server.add_secure_port(settings.listen, self._certificates.credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise refusal(settings.listen)
        return port

    async def _follow_store(self, available: bool) -> None:
        await self._report(HealthCheckResponse.SERVING if available else HealthCheckResponse.NOT_SERVING)

    async def _report(self, status: int) -> None:
        for name in ("", *SERVED_SERVICES):
            await self._health.set(name, status)

    async def reload(self) -> None:
        """Read the files of tokens and of the certificate anew: all of them, or what was read before stays.

        New calls and connections go by what was read. Streams whose token is in the file no more, or stands for
        somebody else there, end UNAUTHENTICATED at once; other calls under way end as they would have.

        Raises:
            ValueError: a file can't be read or does not fit; names it.
        """
        async with self._reloading:
            settings = self._settings
            certificate = await asyncio.to_thread(_read_certificate, settings)
            if isinstance(self._authenticator, TokenAuthenticator) and self._principals is not None:
                principals = await asyncio.to_thread(_read_principals, settings) or ()
                self._authenticator.replace(principals)
                self._admission.end_streams_of(self._authenticator.revoked())
            if self._certificates is not None and certificate is not None:
                self._certificates.replace(certificate)

    async def stop(
        self,
        drain_delay: float = 0.0,
        drain_grace: float = 10.0,
        *,
        replaced: bool = False,
        keep_tails: bool = False,
    ) -> None:
        """Stop serving without losing anything that was begun, and close the engine.

        At first only health says that the server goes; after ``drain_delay`` seconds, when balancers have noticed,
        new runs and streams are refused with SERVER_DRAINING, and streams end one by one, but for those that follow a
        run of this server. Calls and runs that are under way then have ``drain_grace`` seconds, and the server listens
        as long as they take; who follows a run sees its end. Runs that are not done end as interrupted. Queued requests
        stay for other servers.

        ``replaced``: others listen on the same port and go on. Then it listens no more from the first moment on, and
        tells its clients to connect anew, so that their next calls come to the others.
        ``keep_tails``: the others on this port stop as well, so who follows a request has nowhere to go, and sees its
        end here whichever of them runs it.
        """
        await self._health.enter_graceful_shutdown()
        loop = asyncio.get_running_loop()
        leaving: asyncio.Future[None] | None = None
        if replaced:
            leaving = asyncio.ensure_future(self._server.stop(drain_grace))
        else:
            await asyncio.sleep(drain_delay)
        end = loop.time() + drain_grace
        spread = min(DRAIN_SPREAD, drain_grace / 2)
        last_moment = min(_LAST_MOMENT, spread / 2)
        self._admission.drain(spread, stays=self._follows_request if keep_tails else self._follows_run_here)
        expiries = (
            loop.call_at(end - spread, self._admission.drain, spread - last_moment),
            loop.call_at(end - last_moment, self._admission.expire),
        )
        await self._engine.turns.close()
        await self._engine.supervisor.settled(Seconds(drain_grace - last_moment))
        try:
            async with asyncio.timeout_at(end):
                await self._admission.streams_end()
        except TimeoutError:
            pass  # readers that don't read: their connections are cut below
        await self._server.stop(max(end - loop.time(), 0.0))
        if leaving is not None:
            await leaving
        for expiry in expiries:
            expiry.cancel()
        await self._engine.close(Seconds(max(end - loop.time(), 0.0)))

    @staticmethod
    def _follows_request(call: Call) -> bool:
        return call.follows is not None

    def _follows_run_here(self, call: Call) -> bool:
        return call.follows is not None and self._engine.supervisor.find(call.follows) is not None

    async def wait_for_termination(self) -> None:
        await self._server.wait_for_termination()


def _authenticator(settings: ServerSettings, principals: TokenPrincipals | None) -> Authenticator:
    if principals is None:
        return OpenAuthenticator(settings.tenant_key)
    return TokenAuthenticator(principals, settings.tenant_key)


def _read_principals(settings: ServerSettings) -> TokenPrincipals | None:
    return None if settings.tokens is None else read_tokens(settings.tokens)


def _read_certificate(settings: ServerSettings) -> grpc.ServerCertificateConfiguration | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return read_certificate(settings.tls_cert, settings.tls_key)


def _channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    largest = settings.max_message_bytes
    pending = max(_PENDING_CALLS, settings.max_streams + settings.max_unary_calls)
    return [
        ("grpc.max_receive_message_length", min(_RECEIVED * largest, 2**31 - 1)),
        ("grpc.max_send_message_length", largest),
        # Of one connection; admission counts those of all.
        ("grpc.max_concurrent_streams", 1_000),
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending),
        # The limit for pings received: by default a client that pings a quiet stream is cut off.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.min_time_between_pings_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that vanished without a word is noticed after a minute and a third.
        ("grpc.keepalive_time_ms", _MINUTE_MS),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Connections move on, so that new servers behind a balancer get their share.
        ("grpc.max_connection_age_ms", 30 * _MINUTE_MS),
        ("grpc.max_connection_age_grace_ms", 5 * _MINUTE_MS),
        ("grpc.max_connection_idle_ms", 15 * _MINUTE_MS),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # By default a second server would be given the same port, silently, and half of the connections.
        ("grpc.so_reuseport", int(settings.reuse_port)),
    ]
