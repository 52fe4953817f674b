"""Every method that can be called, and what the server has to know of it. What is not in the table is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flowstate_server.errors import AccessDeniedError, FeatureDisabledError
from flowstate_server.model.identity import Plane

PACKAGE = "flowstate.v1"


class Method(NamedTuple):
    """``plane`` is the least that a caller needs; ``None`` is for probes, which carry no credentials.

    A method that is not ``served`` yet is refused as such, to those who may call it. One that starts a run is refused
    while the server goes down. One that ``waits`` takes as long as what it waits for, however fast the server is.
    ``max_bytes`` is how large its request may be where that is less than any message.
    """

    plane: Plane | None = Plane.CLIENT
    served: bool = True
    starts_run: bool = False
    waits: bool = False
    max_bytes: int | None = None


# Of streams that are open for days, by the thousand, each keeps its request: of 4 MiB, a caller's 2,000 took 8 GiB.
_FEW_BYTES = 64 * 1024

_OPEN = Method()
_RUNS = Method(starts_run=True)
_RUNS_TO_ITS_END = Method(starts_run=True, waits=True)
_WAITS = Method(waits=True)
_FOLLOWS = Method(waits=True, max_bytes=_FEW_BYTES)
_TRUSTED = Method(Plane.TRUSTED)
_PROBE = Method(plane=None, max_bytes=_FEW_BYTES)
_WATCHING_PROBE = _PROBE._replace(waits=True)

METHODS: Mapping[str, Method] = {
    "FlowService/ListFlows": _OPEN,
    "FlowService/GetFlow": _OPEN,
    "FlowService/DispatchAction": _RUNS,
    "FlowService/CallAction": _RUNS_TO_ITS_END,
    "FlowService/StreamAction": _RUNS_TO_ITS_END,
    "FlowService/GetActionRequest": _OPEN,
    "FlowService/WaitActionRequest": _WAITS,
    "FlowService/ListActionRequests": _OPEN,
    "FlowService/CancelActionRequest": _OPEN,
    "EventService/ListEvents": _OPEN,
    "EventService/TailEvents": _FOLLOWS,
    "SessionService/CreateSession": _OPEN,
    "SessionService/ResolveSession": _OPEN,
    "SessionService/GetSession": _OPEN,
    "SessionService/ListSessions": _OPEN,
    "SessionService/UpdateSession": _OPEN,
    "SessionService/DeleteSession": _OPEN,
    "SessionService/ListItems": _OPEN,
    "SessionService/AppendItems": _TRUSTED,
    "SessionService/RemoveItems": _TRUSTED,
    "SessionService/GetSnapshot": _OPEN,
    "SessionService/WatchSnapshot": _FOLLOWS,
    "StateService/GetState": _TRUSTED,
    "StateService/CommitState": _TRUSTED,
    "StateService/DeleteState": _TRUSTED,
    "ResourceService/GetResource": _OPEN,
    "ResourceService/ListResources": _OPEN,
    "ResourceService/PutResource": _TRUSTED,
    "ResourceService/WriteContent": _TRUSTED,
    "ResourceService/ReadContent": _OPEN,
    "ResourceService/DeleteResource": _TRUSTED,
    "JournalService/AppendJournal": _TRUSTED,
    "JournalService/ListJournal": _TRUSTED,
    "ServerService/GetServerInfo": _OPEN,
    "grpc.health.v1.Health/Check": _PROBE,
    "grpc.health.v1.Health/Watch": _WATCHING_PROBE,
    # On only where the operator asked for it, and then for whoever may call at all.
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _WAITS,
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _WAITS,
}
"""As ``Service/Method``; those of other packages with the package."""

OWN_METHODS: Mapping[str, Method] = {
    name: method for name, method in METHODS.items() if not name.startswith("grpc.")
}
"""Those of ``flowstate.v1``."""

SERVED_SERVICES = tuple(
    {f"{PACKAGE}.{name.partition('/')[0]}": None for name, method in OWN_METHODS.items() if method.served}
)
"""Full names of our services of which at least one method is served."""


def short_name(path: str) -> str:
    """``Service/Method`` of a gRPC path; methods of other packages keep theirs."""
    return path.removeprefix("/").removeprefix(PACKAGE + ".")


def is_probe(name: str) -> bool:
    """Whether the method is answered to whoever asks."""
    method = METHODS.get(name)
    return method is not None and method.plane is None


def starts_run(name: str) -> bool:
    method = METHODS.get(name)
    return method is not None and method.starts_run


def waits(name: str) -> bool:
    method = METHODS.get(name)
    return method is not None and method.waits


def max_request_bytes(name: str, max_message_bytes: int) -> int:
    """How large a request of the method may be, where no message may be larger than ``max_message_bytes``."""
    method = METHODS.get(name)
    limit = None if method is None else method.max_bytes
    return max_message_bytes if limit is None else min(limit, max_message_bytes)


def check_method(name: str, plane: Plane) -> None:
    """Raises unless a caller on ``plane`` may call the method, and it is served.

    Raises:
        AccessDeniedError: it may not.
        FeatureDisabledError: it is not served yet.
    """
    method = METHODS.get(name)
    if method is None:
        raise AccessDeniedError("the method is not open to callers")
    if method.plane is Plane.TRUSTED and plane is not Plane.TRUSTED:
        raise AccessDeniedError("the method needs the trusted plane")
    if not method.served:
        raise FeatureDisabledError(name)
