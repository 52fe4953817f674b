"""The part of the settings that the gRPC server goes by."""

from __future__ import annotations

from flowstate_server.rpc.admission import AdmissionLimits
from flowstate_server.rpc.envelope import EnvelopeLimits
from flowstate_server.rpc.server_options import ServerOptions
from flowstate_server.settings import Settings


def server_options(settings: Settings) -> ServerOptions:
    return ServerOptions(
        listen=settings.listen,
        tls_certificate=settings.tls_cert,
        tls_key=settings.tls_key,
        tokens=settings.tokens,
        tenant_key=settings.tenant_key,
        insecure=settings.insecure,
        reflection=settings.reflection,
        reuse_port=settings.reuse_port,
        admission=AdmissionLimits(
            unary=settings.max_unary_calls,
            streams=settings.max_streams,
            streams_per_tenant=settings.max_streams_per_tenant,
            streams_per_principal=settings.max_streams_per_principal,
        ),
        envelope=EnvelopeLimits(
            unary_deadline=settings.unary_deadline,
            write_timeout=settings.write_timeout,
            max_message_bytes=settings.max_message_bytes,
        ),
    )
