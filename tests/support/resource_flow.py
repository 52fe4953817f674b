"""A flow on plain JSON Schemas that declares resources of every sort, and a server of it with raw stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from grpc import aio

from flowstate.v1 import (
    event_service_pb2 as events,
    events_pb2,
    flow_service_pb2 as flows,
    resource_service_pb2 as pb,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.resource_service_pb2_grpc import ResourceServiceStub
from flowstate.v1.server_service_pb2_grpc import ServerServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from flowstate.v1.types_pb2 import Precondition, ScopeRef, Value
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.programs.program import HostedFlow
from flowstate_server.programs.resources import ResourceDescription, ShownResource
from flowstate_server.programs.run_context import RunContext
from flowstate_server.stores.store import Store
from flowstate_server.testing.server import RunningServer, running_server
from tests.support.json_schema_program import JsonAction, JsonProgram, JsonSchema
from tests.support.wire import TRUSTED

KIND = "desk"
MOST_FILES = 3
Body = Callable[[Any, RunContext], Awaitable[Json]]

DRAFT = {
    "title": {"type": "string", "default": "untitled"},
    "words": {"type": "integer", "minimum": 0, "default": 0},
    "log": {"type": "array"},
    "secret": {"type": "string"},
}
TAGGED = {"tag": {"type": "string"}, "secret": {"type": "string"}}
PROFILE = {"name": {"type": "string"}, "secret": {"type": "string"}}


def _described(
    name: str, scope: ScopeKind, fields: Mapping[str, Any], shown: ShownResource | None, **limits: Any
) -> ResourceDescription:
    return ResourceDescription(name, scope, JsonSchema(scope, fields), shown, **limits)


RESOURCES = (
    _described(
        "draft", ScopeKind.SESSION, DRAFT, ShownResource(("title", "words", "log"), content=True, live=True)
    ),
    _described("plan", ScopeKind.SESSION, DRAFT, None),
    _described(
        "files/*",
        ScopeKind.SESSION,
        TAGGED,
        ShownResource(("tag",), content=True),
        max_instances=MOST_FILES,
        evicts=True,
    ),
    _described("limited/{topic}", ScopeKind.SESSION, TAGGED, ShownResource(("tag",)), max_instances=2),
    _described("notes/**", ScopeKind.SESSION, TAGGED, None),
    _described("profile", ScopeKind.USER, PROFILE, ShownResource(computed=True, live=True)),
    _described("cards/*", ScopeKind.USER, TAGGED, ShownResource(("tag",), content=True)),
    _described("charter", ScopeKind.ORG, TAGGED, ShownResource(("tag",))),
)


def desk(
    bodies: Mapping[str, Body] | None = None,
    *,
    wanted: tuple[tuple[ScopeKind, str], ...] = (),
    kind: str = KIND,
    isolated: frozenset[ScopeKind] = frozenset(),
) -> HostedFlow:
    """The flow, whose actions do what the test says; each starts from the resources ``wanted``."""
    fields: dict[ScopeKind, Any] = {ScopeKind.SESSION: {"count": {"type": "integer", "default": 0}}}
    schemas = {scope: JsonSchema(scope, fields.get(scope, {})) for scope in ScopeKind}
    anything: Any = {}
    actions = {
        name: JsonAction(anything, anything, body, resources=wanted) for name, body in (bodies or {}).items()
    }
    described = FlowDescription(
        kind=kind,
        actions={name: one.described(name) for name, one in actions.items()},
        schemas=schemas,
        shown={ScopeKind.SESSION: ShownNames(("count",), ("summary",))},
        resources=RESOURCES,
        isolated=isolated,
    )

    def summary(resources: Mapping[str, JsonObject | None]) -> Json:
        return {name: None if state is None else state.get("words") for name, state in resources.items()}

    def initial(state: JsonObject) -> Json:
        return {"initial": str(state.get("name", "?"))[:1]}

    program = JsonProgram(
        actions,
        schemas,
        {},
        related={(ScopeKind.SESSION, "summary"): summary},
        views={(ScopeKind.USER, "profile"): initial},
    )
    return HostedFlow(described, program)


def value(state: Json) -> Value:
    return Value(json=encode_json(state).decode())


def read(value: Value) -> Any:
    return decode_json(value.json)


@dataclass
class Desk:
    """A server of the flow and its stubs. Calls are of a trusted caller unless ``metadata`` says otherwise."""

    running: RunningServer
    channel: aio.Channel

    def __post_init__(self) -> None:
        self.resources = ResourceServiceStub(self.channel)
        self.states = StateServiceStub(self.channel)
        self.sessions = SessionServiceStub(self.channel)
        self.flows = FlowServiceStub(self.channel)
        self.events = EventServiceStub(self.channel)
        self.servers = ServerServiceStub(self.channel)
        self.engine = self.running.engine

    async def session(self, session_id: str = "s1", user: str = "ada", org: str = "") -> ScopeRef:
        made = sessions.Session(flow_kind=KIND, user_id=user, org_id=org, session_id=session_id)
        await self.sessions.CreateSession(sessions.CreateSessionRequest(session=made), metadata=TRUSTED)
        return ScopeRef(session_id=session_id)

    async def put(
        self,
        scope: ScopeRef,
        name: str,
        state: Json = None,
        content: bytes = b"",
        *,
        media_type: str = "",
        metadata: Any = TRUSTED,
        **terms: Any,
    ) -> pb.PutResourceResponse:
        resource = pb.Resource(scope=scope, name=name, content=content, media_type=media_type)
        if state is not None:
            resource.state.CopyFrom(value(state))
        return await self.resources.PutResource(
            pb.PutResourceRequest(resource=resource, **terms), metadata=metadata
        )

    async def get(self, scope: ScopeRef, name: str, *, metadata: Any = TRUSTED, view: Any = 0) -> pb.Resource:
        request = pb.GetResourceRequest(scope=scope, name=name, view=view)
        return (await self.resources.GetResource(request, metadata=metadata)).resource

    async def names(
        self, scope: ScopeRef, prefix: str = "", *, size: int = 0, metadata: Any = TRUSTED
    ) -> list[str]:
        """Those of all pages."""
        names: list[str] = []
        token = ""
        while True:
            request = pb.ListResourcesRequest(
                scope=scope, name_prefix=prefix, page_size=size, page_token=token
            )
            page = await self.resources.ListResources(request, metadata=metadata)
            names += [one.name for one in page.resources]
            token = page.next_page_token
            if not token:
                return names

    async def write(
        self, scope: ScopeRef, name: str, position: int, data: bytes, *, upload: str = "u", **fields: Any
    ) -> pb.WriteContentResponse:
        request = pb.WriteContentRequest(
            scope=scope, name=name, upload_id=upload, position=position, data=data, **fields
        )
        return await self.resources.WriteContent(request, metadata=TRUSTED)

    async def content(
        self, scope: ScopeRef, name: str, position: int = 0, *, metadata: Any = TRUSTED, **fields: Any
    ) -> bytes:
        request = pb.ReadContentRequest(scope=scope, name=name, position=position, **fields)
        parts = [part async for part in self.resources.ReadContent(request, metadata=metadata)]
        assert parts[0].HasField("resource")
        assert not any(part.HasField("resource") for part in parts[1:])
        return b"".join([part.data for part in parts])

    async def delete(self, scope: ScopeRef, name: str, *, metadata: Any = TRUSTED, **terms: Any) -> None:
        request = pb.DeleteResourceRequest(scope=scope, name=name, **terms)
        await self.resources.DeleteResource(request, metadata=metadata)

    async def commit(self, *mutations: states.StateMutation, **fields: Any) -> states.CommitStateResponse:
        request = states.CommitStateRequest(mutations=mutations, **fields)
        return await self.states.CommitState(request, metadata=TRUSTED)

    async def call(self, action: str, input: Json = None, **fields: Any) -> Any:
        spec = flows.ActionSpec(
            **{"flow_kind": KIND, "action": action, "session_id": "s1", "user_id": "ada", **fields},
            input=value(input),
        )
        answer = await self.flows.CallAction(flows.CallActionRequest(spec=spec))
        assert answer.done
        assert answer.action_request.HasField("output"), answer.action_request.failure
        return read(answer.action_request.output)

    async def changes(self, metadata: Any = (), session_id: str = "s1") -> list[events_pb2.ResourceChange]:
        """What the session's log tells of resources."""
        request = events.ListEventsRequest(session_id=session_id, page_size=500)
        listed = await self.events.ListEvents(request, metadata=metadata)
        return [one.resource_change for one in listed.events if one.HasField("resource_change")]

    async def snapshot(self, session_id: str = "s1", **fields: Any) -> dict[int, sessions.ScopeProjection]:
        request = sessions.GetSnapshotRequest(session_id=session_id, **fields)
        return {one.scope: one for one in (await self.sessions.GetSnapshot(request)).scopes}

    async def sweep(self) -> None:
        await self.engine.sweeper.delete_expired()


def mutation(
    scope: ScopeRef, resource: str, *ops: states.StateOp, precondition: Precondition | None = None
) -> states.StateMutation:
    return states.StateMutation(scope=scope, resource=resource, ops=ops, precondition=precondition)


def increment(path: str, by: int = 1) -> states.StateOp:
    return states.StateOp(path=path, increment=states.IncrementOp(by_int=by))


@asynccontextmanager
async def desk_server(
    *flows_of: HostedFlow,
    store: Store | str | None = None,
    settings: EngineSettings | None = None,
    **options: Any,
) -> AsyncIterator[Desk]:
    async with (
        running_server(flows_of or (desk(),), store=store, settings=settings, **options) as running,
        aio.insecure_channel(running.target) as channel,
    ):
        yield Desk(running, channel)
