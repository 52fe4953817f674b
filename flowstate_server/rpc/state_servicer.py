"""StateService."""

from __future__ import annotations

from flowstate.v1 import state_service_pb2 as pb
from flowstate.v1.state_service_pb2_grpc import StateServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.state import (
    decode_commit,
    decode_deletion,
    decode_paths,
    decode_targets,
    encode_committed,
    encode_states,
)


class StateServicer(StateServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetState(self, request: pb.GetStateRequest, context: ServicerContext) -> pb.GetStateResponse:
        targets, paths = decode_targets(request.scopes), decode_paths(request.paths)
        return encode_states(await self._engine.states.get(current_call().principal, targets, paths))

    async def CommitState(
        self, request: pb.CommitStateRequest, context: ServicerContext
    ) -> pb.CommitStateResponse:
        commit = await read_aside(request.ByteSize(), decode_commit, request)
        committed = await self._engine.states.commit(current_call().principal, commit)
        return encode_committed(committed, documents=request.return_state == pb.RETURN_STATE_FULL)

    async def DeleteState(
        self, request: pb.DeleteStateRequest, context: ServicerContext
    ) -> pb.DeleteStateResponse:
        replayed = await self._engine.states.delete(current_call().principal, decode_deletion(request))
        return pb.DeleteStateResponse(replayed=replayed)
