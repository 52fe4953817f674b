"""The services and methods of ``flowstate.v1``, as their descriptors have them."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

import flowstate.v1
from flowstate_server.rpc.methods import OWN_METHODS

SERVICES: Mapping[str, ServiceDescriptor] = {
    name: service
    for module in pkgutil.iter_modules(flowstate.v1.__path__, "flowstate.v1.")
    if module.name.endswith("_pb2")
    for name, service in import_module(module.name).DESCRIPTOR.services_by_name.items()
}
"""By name without the package."""

METHODS: Mapping[str, MethodDescriptor] = {
    f"{name}/{method.name}": method for name, service in SERVICES.items() for method in service.methods
}
"""Every method as ``Service/Method``."""

UNSERVED_METHODS = frozenset(name for name, method in OWN_METHODS.items() if not method.served)
