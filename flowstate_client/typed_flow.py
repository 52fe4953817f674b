"""What modules written by ``flowstate client-stub`` are made of: a flow as a class, its actions as typed callables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar, cast

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer
from typing_extensions import Unpack

from flowstate_client.client import FlowStateClient
from flowstate_client.errors import hides_our_frames
from flowstate_client.models import RunRecord, Scope
from flowstate_client.runs import ActionStream, RunHandle
from flowstate_client.snapshots import Snapshot
from flowstate_client.watch import SnapshotWatch

__tracebackhide__ = hides_our_frames

Input = TypeVar("Input")
Output = TypeVar("Output")
View = TypeVar("View")


class StubModel(BaseModel):
    """A model of a stub. A field that was not given, and whose default only the server knows, is not sent."""

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())

    @model_serializer(mode="wrap")
    def _without_what_was_not_given(
        self, dump: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        made: dict[str, Any] = dump(self)
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set and getattr(self, name) is None:
                made.pop(field.serialization_alias or name if info.by_alias else name, None)
        return made


class RunOptions(TypedDict, total=False):
    """What an action can be started with; see :class:`flowstate_client.Flows`."""

    session_id: str | None
    user_id: str | None
    org_id: str | None
    request_id: str | None
    execution_timeout: float | None


class CallOptions(RunOptions, total=False):
    """And how long a call may take, in seconds."""

    timeout: float | None


class StreamOptions(RunOptions, total=False):
    """And what is streamed; see :meth:`flowstate_client.Flows.stream`."""

    cancel_on_disconnect: bool
    types: Iterable[str]
    audience: str | None
    max_outage: float | None


class TypedRun(Generic[Output]):
    """A run of which the type of the output is known.

    Attributes:
        handle: The run as any other.
        events, get, cancel: Those of the handle.
    """

    def __init__(self, handle: RunHandle, output: Any) -> None:
        self.handle = handle
        self.events = handle.events
        self.get = handle.get
        self.cancel = handle.cancel
        self._output = output

    def __repr__(self) -> str:
        return f"TypedRun({self.handle!r})"

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.handle.request_id

    @property
    def session_id(self) -> str:
        """Its session; empty where only the id of the request is known."""
        return self.handle.session_id

    @property
    def attached(self) -> bool:
        """Whether the dispatch found the request already there."""
        return self.handle.attached

    async def result(self, *, timeout: float | None = None) -> Output:
        """The output, once the run has ended; see :meth:`flowstate_client.RunHandle.result`."""
        return cast(Output, await self.handle.result(self._output, timeout=timeout))


class TypedAction(Generic[Input, Output]):
    """An action of a flow: called like a function, dispatched or streamed.

    Raises what :class:`flowstate_client.Flows` says.

    Args:
        output: The type of the output, anything that pydantic knows.
    """

    def __init__(self, client: FlowStateClient, flow_kind: str, name: str, output: Any) -> None:
        self.flow_kind = flow_kind
        self.name = name
        self._client = client
        self._output = output

    def __repr__(self) -> str:
        return f"TypedAction({self.flow_kind!r}, {self.name!r})"

    async def __call__(self, input: Input, /, **options: Unpack[CallOptions]) -> Output:
        """Runs it and waits for the output."""
        flows = self._client.flows
        answer = await flows.call(self.flow_kind, self.name, input, output=self._output, **options)
        return cast(Output, answer)

    async def dispatch(self, input: Input, /, **options: Unpack[CallOptions]) -> TypedRun[Output]:
        """Starts it; answers as soon as the request is stored."""
        return self.run(await self._client.flows.dispatch(self.flow_kind, self.name, input, **options))

    async def validate(self, input: Input, /, **options: Unpack[CallOptions]) -> RunRecord:
        """What ``dispatch`` would store, or its error; nothing is run."""
        return await self._client.flows.validate(self.flow_kind, self.name, input, **options)

    def stream(self, input: Input, /, **options: Unpack[StreamOptions]) -> ActionStream:
        """Starts it and streams its events; ``run(stream.run)`` has the typed result."""
        return self._client.flows.stream(self.flow_kind, self.name, input, **options)

    def run(self, run: RunHandle | str, /) -> TypedRun[Output]:
        """A run of this action, by its handle or its request id, without a round trip."""
        handle = self._client.flows.handle(run) if isinstance(run, str) else run
        return TypedRun(handle, self._output)


class TypedFlow(Generic[View]):
    """A flow of a server. A stub adds an attribute for each action.

    Attributes:
        flow_kind: The name of the flow.

    Raises:
        TypeError: ``client`` is of the other kind, synchronous or not.
    """

    def __init__(self, client: FlowStateClient, flow_kind: str, view: type[View]) -> None:
        if not isinstance(client, FlowStateClient):
            raise TypeError(
                f"this stub takes a client of {FlowStateClient.__module__.removesuffix('.client')}; "
                "flowstate client-stub writes stubs for clients of flowstate_client, "
                "flowstate client-stub --sync for those of flowstate_client.sync"
            )
        self.flow_kind = flow_kind
        self._client = client
        self._view = view

    async def snapshot(
        self,
        session_id: str,
        *,
        names: Mapping[Scope, Sequence[str]] | None = None,
        timeout: float | None = None,
    ) -> Snapshot[View]:
        """What the flow shows of a session; see :meth:`flowstate_client.Sessions.snapshot`."""
        sessions = self._client.sessions
        return await sessions.snapshot(session_id, model=self._view, names=names, timeout=timeout)

    def watch(
        self,
        session_id: str,
        *,
        names: Mapping[Scope, Sequence[str]] | None = None,
        max_outage: float | None = None,
    ) -> SnapshotWatch[View]:
        """The same whenever it has changed; see :meth:`flowstate_client.Sessions.watch`."""
        sessions = self._client.sessions
        return sessions.watch(session_id, model=self._view, names=names, max_outage=max_outage)
