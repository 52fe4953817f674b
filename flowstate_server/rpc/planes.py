"""The least plane that each method needs. A method that is not in the table is refused."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.errors import AccessDeniedError
from flowstate_server.model.identity import Plane

_CLIENT = Plane.CLIENT
_TRUSTED = Plane.TRUSTED

METHOD_PLANES: Mapping[str, Plane] = {
    "FlowService/ListFlows": _CLIENT,
    "FlowService/GetFlow": _CLIENT,
    "FlowService/DispatchAction": _CLIENT,
    "FlowService/CallAction": _CLIENT,
    "FlowService/StreamAction": _CLIENT,
    "FlowService/GetActionRequest": _CLIENT,
    "FlowService/WaitActionRequest": _CLIENT,
    "FlowService/ListActionRequests": _CLIENT,
    "FlowService/CancelActionRequest": _CLIENT,
    "EventService/ListEvents": _CLIENT,
    "EventService/TailEvents": _CLIENT,
    "SessionService/CreateSession": _CLIENT,
    "SessionService/ResolveSession": _CLIENT,
    "SessionService/GetSession": _CLIENT,
    "SessionService/ListSessions": _CLIENT,
    "SessionService/UpdateSession": _CLIENT,
    "SessionService/DeleteSession": _CLIENT,
    "SessionService/ListItems": _CLIENT,
    "SessionService/GetSnapshot": _CLIENT,
    "SessionService/WatchSnapshot": _CLIENT,
    "StateService/GetState": _TRUSTED,
    "StateService/CommitState": _TRUSTED,
    "StateService/DeleteState": _TRUSTED,
    "ResourceService/GetResource": _CLIENT,
    "ResourceService/ListResources": _CLIENT,
    "ResourceService/PutResource": _TRUSTED,
    "ResourceService/WriteContent": _TRUSTED,
    "ResourceService/ReadContent": _CLIENT,
    "ResourceService/DeleteResource": _TRUSTED,
    "JournalService/AppendJournal": _TRUSTED,
    "JournalService/ListJournal": _TRUSTED,
    "ServerService/GetServerInfo": _CLIENT,
    # On only where the operator asked for it, and then for whoever may call at all.
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _CLIENT,
}

WITHOUT_IDENTITY = frozenset(("grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"))
"""Probes carry no credentials."""


def check_plane(method: str, plane: Plane) -> None:
    """Raises ``AccessDeniedError`` unless a caller on ``plane`` may call ``method`` (``Service/Method``)."""
    needed = METHOD_PLANES.get(method)
    if needed is None:
        raise AccessDeniedError("the method is not open to callers")
    if needed is Plane.TRUSTED and plane is not Plane.TRUSTED:
        raise AccessDeniedError("the method needs the trusted plane")
