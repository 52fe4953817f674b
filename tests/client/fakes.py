"""A FlowState server in small: the real wire on a real port, behind it plain Python lists that tests arrange."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from flowstate.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    flow_service_pb2,
    flow_service_pb2_grpc,
    journal_service_pb2,
    journal_service_pb2_grpc,
    resource_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    state_service_pb2,
    state_service_pb2_grpc,
    types_pb2,
)
from flowstate_client.capabilities import OPTIONAL_FIELDS
from tests.client.fake_resources import FakeResources
from tests.client.fake_tails import Context, FakeEvents, json_value, refuse


class FakeFlows(flow_service_pb2_grpc.FlowServiceServicer):
    """Requests that end when a test says so."""

    def __init__(self, events: FakeEvents) -> None:
        self.events = events
        self.seen: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.request = flow_service_pb2.ActionRequest(
            request_id="req_1",
            session_id="sess_1",
            status=flow_service_pb2.ACTION_REQUEST_STATUS_IN_PROGRESS,
        )
        self.done = False
        self.before: Callable[[Any, Context], Awaitable[None]] | None = None
        self.flows = [flow_service_pb2.Flow(flow_kind=f"flow-{number}") for number in range(5)]

    def complete(self, output: Any) -> None:
        self.request.status = flow_service_pb2.ACTION_REQUEST_STATUS_COMPLETED
        self.request.output.CopyFrom(json_value(output))
        self.done = True

    async def _arrive(self, request: Any, context: Context) -> None:
        self.seen.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        spec = getattr(request, "spec", None)
        if spec is not None and spec.request_id:
            self.request.request_id = spec.request_id
        if self.before is not None:
            await self.before(request, context)

    async def DispatchAction(self, request: Any, context: Any) -> flow_service_pb2.DispatchActionResponse:
        await self._arrive(request, context)
        return flow_service_pb2.DispatchActionResponse(
            action_request=self.request, attached=len(self.seen) > 1
        )

    async def CallAction(self, request: Any, context: Any) -> flow_service_pb2.CallActionResponse:
        await self._arrive(request, context)
        return flow_service_pb2.CallActionResponse(action_request=self.request, done=self.done)

    async def WaitActionRequest(
        self, request: Any, context: Any
    ) -> flow_service_pb2.WaitActionRequestResponse:
        await self._arrive(request, context)
        return flow_service_pb2.WaitActionRequestResponse(action_request=self.request, done=self.done)

    async def GetActionRequest(self, request: Any, context: Any) -> flow_service_pb2.GetActionRequestResponse:
        await self._arrive(request, context)
        return flow_service_pb2.GetActionRequestResponse(action_request=self.request)

    async def CancelActionRequest(
        self, request: Any, context: Any
    ) -> flow_service_pb2.CancelActionRequestResponse:
        await self._arrive(request, context)
        self.request.cancel_requested = True
        return flow_service_pb2.CancelActionRequestResponse(action_request=self.request)

    async def StreamAction(
        self, request: Any, context: Any
    ) -> AsyncIterator[flow_service_pb2.StreamActionResponse]:
        await self._arrive(request, context)
        first = True
        tail = event_service_pb2.TailEventsRequest(request_id=request.spec.request_id)
        async for frame in self.events.watched(self.events.serve(tail, context)):
            response = flow_service_pb2.StreamActionResponse(tail=frame)
            if first:
                response.action_request.CopyFrom(self.request)
            first = False
            yield response

    async def ListFlows(self, request: Any, context: Any) -> flow_service_pb2.ListFlowsResponse:
        await self._arrive(request, context)
        start = int(request.page_token or 0)
        end = start + (request.page_size or 2)
        token = str(end) if end < len(self.flows) else ""
        return flow_service_pb2.ListFlowsResponse(flows=self.flows[start:end], next_page_token=token)

    async def GetFlow(self, request: Any, context: Any) -> flow_service_pb2.GetFlowResponse:
        await self._arrive(request, context)
        return flow_service_pb2.GetFlowResponse(flow=self.flows[0])

    async def ListActionRequests(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


class FakeSessions(session_service_pb2_grpc.SessionServiceServicer):
    """Sessions in a dictionary, and one arranged snapshot."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.sessions: dict[str, session_service_pb2.Session] = {}
        self.by_key: dict[str, str] = {}
        self.snapshot = session_service_pb2.GetSnapshotResponse()
        self.before: Callable[[Any, Context], Awaitable[None]] | None = None
        self.after_create: Callable[[Context], Awaitable[None]] | None = None
        self.after_delete: Callable[[Any, Context], Awaitable[None]] | None = None

    async def _arrive(self, request: Any, context: Context) -> None:
        self.seen.append(request)
        if self.before is not None:
            await self.before(request, context)

    async def CreateSession(self, request: Any, context: Any) -> session_service_pb2.CreateSessionResponse:
        await self._arrive(request, context)
        known = self.by_key.get(request.idempotency_key)
        if known is not None:
            brief = session_service_pb2.Session(session_id=known)
            return session_service_pb2.CreateSessionResponse(session=brief, replayed=True)
        session = session_service_pb2.Session()
        session.CopyFrom(request.session)
        session.session_id = session.session_id or f"sess_{len(self.sessions) + 1}"
        session.meta.version = 1
        self.sessions[session.session_id] = session
        self.by_key[request.idempotency_key] = session.session_id
        if self.after_create is not None:
            await self.after_create(context)
        return session_service_pb2.CreateSessionResponse(session=session)

    async def GetSession(self, request: Any, context: Any) -> session_service_pb2.GetSessionResponse:
        await self._arrive(request, context)
        if request.session_id not in self.sessions:
            await refuse(
                context, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", session_id=request.session_id
            )
        return session_service_pb2.GetSessionResponse(session=self.sessions[request.session_id])

    async def DeleteSession(self, request: Any, context: Any) -> session_service_pb2.DeleteSessionResponse:
        await self._arrive(request, context)
        if self.sessions.pop(request.session_id, None) is None and not request.allow_missing:
            await refuse(
                context, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", session_id=request.session_id
            )
        if self.after_delete is not None:
            await self.after_delete(request, context)
        return session_service_pb2.DeleteSessionResponse()

    async def ListSessions(self, request: Any, context: Any) -> session_service_pb2.ListSessionsResponse:
        await self._arrive(request, context)
        ids = sorted(self.sessions)
        start = int(request.page_token or 0)
        end = start + (request.page_size or 2)
        return session_service_pb2.ListSessionsResponse(
            sessions=[self.sessions[i] for i in ids[start:end]],
            next_page_token=str(end) if end < len(ids) else "",
            total_size=len(ids) if request.include_total else None,
        )

    async def GetSnapshot(self, request: Any, context: Any) -> session_service_pb2.GetSnapshotResponse:
        await self._arrive(request, context)
        return self.snapshot

    async def ResolveSession(self, request: Any, context: Any) -> session_service_pb2.ResolveSessionResponse:
        await self._arrive(request, context)
        wanted = request.session
        for known in self.sessions.values():
            if known.metadata == wanted.metadata:
                return session_service_pb2.ResolveSessionResponse(session=known)
        create = session_service_pb2.CreateSessionRequest(
            session=wanted, idempotency_key=wanted.metadata.json
        )
        made = await self.CreateSession(create, context)
        return session_service_pb2.ResolveSessionResponse(session=made.session, created=True)

    async def UpdateSession(self, request: Any, context: Any) -> session_service_pb2.UpdateSessionResponse:
        await self._arrive(request, context)
        known = self.sessions[request.session.session_id]
        if request.idempotency_key in self.by_key:
            brief = session_service_pb2.Session(session_id=known.session_id)
            return session_service_pb2.UpdateSessionResponse(session=brief, replayed=True)
        if request.precondition.HasField("version") and request.precondition.version != known.meta.version:
            await refuse(
                context, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current=str(known.meta.version)
            )
        request.update_mask.MergeMessage(
            request.session, known, replace_message_field=True, replace_repeated_field=True
        )
        known.meta.version += 1
        self.by_key[request.idempotency_key] = known.session_id
        return session_service_pb2.UpdateSessionResponse(session=known)

    async def ListItems(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def AppendItems(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def RemoveItems(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def WatchSnapshot(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


class FakeState(state_service_pb2_grpc.StateServiceServicer):
    """Records with compare-and-swap; of the operations it knows the merge at the top."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.documents: dict[str, tuple[int, dict[str, Any]]] = {}
        self.before_commit: Callable[[Any, Context], Awaitable[None]] | None = None

    async def GetState(self, request: Any, context: Any) -> state_service_pb2.GetStateResponse:
        self.seen.append(request)
        records = []
        for scope in request.scopes:
            version, document = self.documents.get(_key(scope), (0, {}))
            record = state_service_pb2.StateRecord(scope=scope, exists=version > 0)
            record.meta.version = version
            if version:
                record.state.CopyFrom(json_value(document))
            records.append(record)
        return state_service_pb2.GetStateResponse(records=records)

    async def CommitState(self, request: Any, context: Any) -> state_service_pb2.CommitStateResponse:
        self.seen.append(request)
        if self.before_commit is not None:
            await self.before_commit(request, context)
        records = []
        for mutation in request.mutations:
            version, document = self.documents.get(_key(mutation.scope), (0, {}))
            if mutation.precondition.HasField("version") and mutation.precondition.version != version:
                await refuse(context, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current=str(version))
        for mutation in request.mutations:
            version, document = self.documents.get(_key(mutation.scope), (0, {}))
            merged = dict(document)
            for op in mutation.ops:
                if op.WhichOneof("op") == "merge":
                    merged.update(json.loads(op.merge.value.json))
            self.documents[_key(mutation.scope)] = (version + 1, merged)
            record = state_service_pb2.StateRecord(scope=mutation.scope, exists=True, changed=True)
            record.meta.version = version + 1
            records.append(record)
        return state_service_pb2.CommitStateResponse(records=records)

    async def DeleteState(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


class FakeJournal(journal_service_pb2_grpc.JournalServiceServicer):
    """One journal, which remembers the keys of appends."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.entries: list[journal_service_pb2.JournalEntry] = []
        self.keys: dict[str, list[str]] = {}
        self.after: Callable[[Any, Context], Awaitable[None]] | None = None

    async def AppendJournal(self, request: Any, context: Any) -> journal_service_pb2.AppendJournalResponse:
        self.seen.append(request)
        known = self.keys.get(request.idempotency_key)
        if known is not None:
            ids = [journal_service_pb2.JournalEntry(entry_id=id) for id in known]
            return journal_service_pb2.AppendJournalResponse(entries=ids, replayed=True)
        appended = []
        for entry in request.entries:
            whole = journal_service_pb2.JournalEntry(entry_id=f"note_{len(self.entries)}")
            whole.MergeFrom(entry)
            whole.create_time.seconds = 1
            self.entries.append(whole)
            appended.append(whole)
        self.keys[request.idempotency_key] = [entry.entry_id for entry in appended]
        if self.after is not None:
            await self.after(request, context)
        return journal_service_pb2.AppendJournalResponse(entries=appended)

    async def ListJournal(self, request: Any, context: Any) -> journal_service_pb2.ListJournalResponse:
        self.seen.append(request)
        entries = self.entries[::-1] if request.newest_first else self.entries
        start = int(request.page_token or 0)
        end = start + (request.page_size or 50)
        token = str(end) if end < len(entries) else ""
        return journal_service_pb2.ListJournalResponse(entries=entries[start:end], next_page_token=token)


def _key(scope: types_pb2.ScopeRef) -> str:
    return str(scope.SerializeToString(deterministic=True))


class FakeServerService(server_service_pb2_grpc.ServerServiceServicer):
    def __init__(self) -> None:
        self.calls = 0
        self.capabilities = ["StateService/CommitState", *sorted(OPTIONAL_FIELDS)]
        self.before: Callable[[Any, Context], Awaitable[None]] | None = None

    async def GetServerInfo(self, request: Any, context: Any) -> server_service_pb2.GetServerInfoResponse:
        self.calls += 1
        if self.before is not None:
            await self.before(request, context)
        limits = server_service_pb2.Limits(max_message_bytes=4 << 20)
        return server_service_pb2.GetServerInfoResponse(
            version="0.9.0", instance_id="one", limits=limits, capabilities=self.capabilities
        )


class FakeServer:
    """All of it on one port."""

    def __init__(self) -> None:
        self.events = FakeEvents()
        self.flows = FakeFlows(self.events)
        self.sessions = FakeSessions()
        self.state = FakeState()
        self.journal = FakeJournal()
        self.resources = FakeResources()
        self.server = FakeServerService()
        self.port = 0
        self._grpc: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        event_service_pb2_grpc.add_EventServiceServicer_to_server(self.events, server)
        flow_service_pb2_grpc.add_FlowServiceServicer_to_server(self.flows, server)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(self.sessions, server)
        state_service_pb2_grpc.add_StateServiceServicer_to_server(self.state, server)
        journal_service_pb2_grpc.add_JournalServiceServicer_to_server(self.journal, server)
        resource_service_pb2_grpc.add_ResourceServiceServicer_to_server(self.resources, server)
        server_service_pb2_grpc.add_ServerServiceServicer_to_server(self.server, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._grpc = server

    async def stop(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(None)
            self._grpc = None
