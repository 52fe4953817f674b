"""A watch that resumes by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from flowstate.v1 import session_service_pb2
from flowstate_client.arguments import identifier
from flowstate_client.calls import Caller
from flowstate_client.connections import TailLease
from flowstate_client.errors import ApiError, ProtocolError, SessionNotFound
from flowstate_client.models import seconds
from flowstate_client.resuming import DEFAULT_HEARTBEAT, SILENT_HEARTBEATS, ResumingStream, heartbeat
from flowstate_client.snapshots import Snapshot, snapshot_of

T = TypeVar("T")

Frame = session_service_pb2.WatchSnapshotResponse


class SnapshotWatch(ResumingStream[Snapshot[T]]):
    """What a flow shows of a session, whole, each time that it has changed, until the session is deleted.

    Use it in ``async for``, or in ``async with`` where the end of use should not wait for anything. It is level, not
    history: after an outage, and to a slow reader, several changes come as one, and a view that is equal to the one
    before is not repeated. ``active_requests`` and ``read_time`` are of the newest reading of the whole.

    Iterating raises:
        ConnectError: no watch for longer than ``max_outage``; or the first did not begin within
            ``ClientConfig.timeout``.
        ApiError: the server refuses, for example ``SessionNotFound``, or ``InvalidArgument`` for a name that the flow
            does not show.
        ResponseValidationError: the data does not fit the model.
    """

    def __init__(
        self,
        caller: Caller,
        session_id: str,
        *,
        selectors: Sequence[session_service_pb2.SnapshotSelector],
        model: Any,
        max_outage: float | None = None,
    ) -> None:
        super().__init__(caller, max_outage=max_outage)
        self.session_id = session_id
        self._model = model
        self._request = session_service_pb2.WatchSnapshotRequest(
            session_id=identifier(session_id, "session_id"),
            selectors=selectors,
            heartbeat_interval=heartbeat(caller.config.heartbeat_interval),
        )
        self._view: session_service_pb2.GetSnapshotResponse | None = None
        self._is_over = False
        self._silent = DEFAULT_HEARTBEAT * SILENT_HEARTBEATS

    def _open(self, lease: TailLease) -> tuple[Callable[..., grpc.aio.UnaryStreamCall[Any, Any]], Message]:
        return lease.sessions.WatchSnapshot, self._request

    def _take(self, message: Frame) -> Sequence[Snapshot[T]]:
        match message.WhichOneof("frame"):
            case "started":
                interval = seconds(message.started.heartbeat_interval)
                self._silent = (interval or DEFAULT_HEARTBEAT) * SILENT_HEARTBEATS
            case "snapshot":
                before, self._view = self._view, message.snapshot
                if before is None or list(before.scopes) != list(message.snapshot.scopes):
                    return self._shown(message.snapshot)
            case "change":
                if self._view is None:
                    raise ProtocolError("the watch told a change ahead of the view")
                _merge(self._view, message.change)
                self._view.cursor.CopyFrom(message.cursor)
                return self._shown(self._view)
            case "ended":
                self._is_over = True
            case _:  # heartbeat, or a frame of a newer server
                pass
        return ()

    def _shown(self, view: session_service_pb2.GetSnapshotResponse) -> Sequence[Snapshot[T]]:
        return (snapshot_of(view, self._caller.codec, self._model),)

    async def _pause(self, error: ApiError) -> None:
        if isinstance(error, SessionNotFound) and self._view is not None:  # deleted while nobody watched
            self._is_over = True
        else:
            await super()._pause(error)

    @property
    def _ended(self) -> bool:
        return self._is_over

    @property
    def _silence(self) -> float:
        return self._silent

    @property
    def _method(self) -> str:
        return "SessionService/WatchSnapshot"

    @property
    def _subject(self) -> str:
        return self.session_id


def _merge(
    view: session_service_pb2.GetSnapshotResponse, change: session_service_pb2.ScopeProjection
) -> None:
    """Brings the scope up to date: a name that is told of is what it is told to be, all others stay."""
    scope = next((scope for scope in view.scopes if scope.scope == change.scope), None)
    if scope is None:
        scope = view.scopes.add(scope=change.scope)
    for name in (*change.removed, *change.values, *change.failures):
        scope.values.pop(name, None)
        scope.failures.pop(name, None)
        scope.resource_versions.pop(name, None)
    scope.version = change.version
    for name, value in change.values.items():
        scope.values[name].CopyFrom(value)
    for name, failure in change.failures.items():
        scope.failures[name].CopyFrom(failure)
    scope.resource_versions.update(change.resource_versions)
