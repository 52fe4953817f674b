"""Records what a client does to states over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from flowstate.v1 import state_service_pb2 as pb
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_client import FlowStateClient, ScopeHandle, StateWrite
from flowstate_client.errors import ApiError, Cancelled, DeadlineExceeded, InternalError, Unavailable
from flowstate_client.ids import new_idempotency_key
from flowstate_client.state import StateRecord, States
from flowstate_server.model.json_values import JsonObject, decode_json
from flowstate_server.rpc.codec.state import decode_commit
from flowstate_server.testing.history.calls import Answer, Key, Read, Write
from flowstate_server.testing.history.recording import Recorder, answer, refuse

_DOUBTFUL = (Unavailable, DeadlineExceeded, Cancelled, InternalError)


class RecordedStates(States):
    """``client.state``, recorded: every operation and batch that is committed through its handles, and the reads of
    :meth:`read`. The reads of handles themselves are not.

    ``client`` must be open.
    """

    def __init__(self, client: FlowStateClient, recorder: Recorder) -> None:
        super().__init__(client.state.caller)
        self.recorder = recorder

    async def commit(
        self,
        mutations: Sequence[pb.StateMutation],
        request_id: str,
        idempotency_key: str | None = None,
        validate_only: bool = False,
    ) -> Sequence[StateWrite]:
        if validate_only:  # which writes nothing
            return await super().commit(mutations, request_id, idempotency_key, validate_only)
        key = idempotency_key or new_idempotency_key()
        decoded = decode_commit(pb.CommitStateRequest(mutations=mutations, idempotency_key=key))
        parts = [
            Write(_key(wire.scope), mutation.operations, mutation.precondition)
            for wire, mutation in zip(mutations, decoded.mutations, strict=True)
        ]
        with self.recorder.call(parts, key) as call:
            try:
                written = await super().commit(mutations, request_id, key)
            except _DOUBTFUL:
                raise
            except ApiError as error:
                current = error.metadata.get("current")
                refuse(call, error, None if current is None else int(current))
                raise
            answer(call, [Answer(write.version, changed=write.changed) for write in written])
            return written

    async def read(self, *handles: ScopeHandle) -> list[StateRecord[Any]]:
        """The newest records, all from one consistent read."""
        with self.recorder.call([Read(_key(handle._scope)) for handle in handles]) as call:
            request = pb.GetStateRequest(scopes=[handle._scope for handle in handles])
            response = await self.caller.read("StateService/GetState", self.stub.GetState, request)
            records: list[StateRecord[Any]] = [
                StateRecord(record, Any, self.codec) for record in response.records
            ]
            answer(call, [_answer(record) for record in records])
            return records


def _answer(record: StateRecord[Any]) -> Answer:
    state = cast(JsonObject, decode_json(record.raw))
    return Answer(record.version, exists=record.exists, state=state)


def _key(scope: ScopeRef) -> Key:
    kind = scope.WhichOneof("owner") or ""
    return (
        kind,
        getattr(scope, kind),
        scope.flow_kind if kind in ("user_id", "org_id") and scope.isolated else "",
    )
