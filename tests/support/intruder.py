"""A writer that gets in between: it blocks its caller until its write is committed by a server elsewhere."""

from __future__ import annotations

import grpc

from flowstate.v1.state_service_pb2 import (
    CommitStateRequest,
    CommitStateResponse,
    IncrementOp,
    StateMutation,
    StateOp,
)
from flowstate.v1.types_pb2 import ScopeRef

COMMIT = "/flowstate.v1.StateService/CommitState"


def add_one(target: str, session_id: str, field: str = "count") -> int:
    """Add 1 to a field of a session at the server on ``target``, which must not be in this process; the version."""
    operation = StateOp(path=f"/{field}", increment=IncrementOp(by_int=1))
    request = CommitStateRequest(
        mutations=[StateMutation(scope=ScopeRef(session_id=session_id), ops=[operation])]
    )
    with grpc.insecure_channel(target) as channel:
        commit = channel.unary_unary(
            COMMIT, CommitStateRequest.SerializeToString, CommitStateResponse.FromString
        )
        answer = commit(request, metadata=(("x-flowstate-plane", "trusted"),), timeout=10.0)
    return int(answer.records[0].meta.version)
