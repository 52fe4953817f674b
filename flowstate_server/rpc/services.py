"""The services and methods of ``flowstate.v1``, as their descriptors have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from flowstate.v1 import (
    event_service_pb2,
    flow_service_pb2,
    journal_service_pb2,
    resource_service_pb2,
    server_service_pb2,
    session_service_pb2,
    state_service_pb2,
)

PACKAGE = "flowstate.v1"

_FILES = (
    flow_service_pb2,
    event_service_pb2,
    session_service_pb2,
    state_service_pb2,
    resource_service_pb2,
    journal_service_pb2,
    server_service_pb2,
)

SERVICES: Mapping[str, ServiceDescriptor] = {
    name: service for file in _FILES for name, service in file.DESCRIPTOR.services_by_name.items()
}
"""By name without the package."""


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every method with its name as ``Service/Method``."""
    for name, service in SERVICES.items():
        for method in service.methods:
            yield f"{name}/{method.name}", method


def short_name(path: str) -> str:
    """``Service/Method`` of a gRPC path; methods of other packages keep theirs."""
    return path.removeprefix("/").removeprefix(PACKAGE + ".")
