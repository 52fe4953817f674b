"""Calls with messages of our own, where the client would choose ids and keys by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from grpc import aio

from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.journal_service_pb2_grpc import JournalServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2 import (
    CommitStateRequest,
    CommitStateResponse,
    IncrementOp,
    StateMutation,
    StateOp,
)
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from flowstate.v1.types_pb2 import Precondition, ScopeRef

Metadata = tuple[tuple[str, str], ...]

TRUSTED: Metadata = (("x-flowstate-plane", "trusted"),)


class Stubs:
    """The services of one server."""

    def __init__(self, channel: aio.Channel) -> None:
        self.flows = FlowServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.sessions = SessionServiceStub(channel)
        self.states = StateServiceStub(channel)
        self.journals = JournalServiceStub(channel)

    async def commit(
        self,
        *mutations: StateMutation,
        key: str = "",
        request_id: str = "",
        metadata: Metadata = TRUSTED,
    ) -> CommitStateResponse:
        request = CommitStateRequest(mutations=mutations, idempotency_key=key, request_id=request_id)
        return await self.states.CommitState(request, metadata=metadata)


@asynccontextmanager
async def stubs_of(target: str) -> AsyncIterator[Stubs]:
    async with aio.insecure_channel(target) as channel:
        yield Stubs(channel)


def increment(scope: ScopeRef, by: int = 1, *, field: str = "count", at: int | None = None) -> StateMutation:
    """Adds to a field; ``at``: only if the record has this version."""
    mutation = StateMutation(scope=scope, ops=[StateOp(path=f"/{field}", increment=IncrementOp(by_int=by))])
    if at is not None:
        mutation.precondition.CopyFrom(Precondition(version=at))
    return mutation


def session(session_id: str) -> ScopeRef:
    return ScopeRef(session_id=session_id)


def user(user_id: str, flow_kind: str = "ledger") -> ScopeRef:
    return ScopeRef(user_id=user_id, flow_kind=flow_kind)


def org(org_id: str, flow_kind: str = "ledger") -> ScopeRef:
    return ScopeRef(org_id=org_id, flow_kind=flow_kind)


def outcome(answer: CommitStateResponse) -> Sequence[tuple[int, bool]]:
    """Version and ``changed`` of every record."""
    return [(record.meta.version, record.changed) for record in answer.records]
