"""State: operations, mutations and records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowstate.v1 import state_service_pb2 as pb
from flowstate.v1.types_pb2 import Precondition as WirePrecondition, ScopeRef
from flowstate_server.engine.calls.state import (
    AtVersion,
    Exists,
    Precondition,
    ScopeTarget,
    StateAnswer,
    StateCommit,
    StateCommitted,
    StateDeletion,
    StateMutation,
)
from flowstate_server.errors import JsonNumberError, MutationAtFault, PathInvalidError, ServiceError
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.rpc.codec.scopes import decode_scope_ref, named_owner, set_scope_ref
from flowstate_server.rpc.codec.time import set_time
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.json_values import decode_value
from flowstate_server.rpc.message_fields import MAX_DOCUMENT_REPLY, check_document_reply, invalid, required
from flowstate_server.state.json_limits import check_key
from flowstate_server.state.json_pointer import Pointer, parse_pointer
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
    TestEqual,
    TestExists,
)


def decode_targets(scopes: Sequence[ScopeRef]) -> Sequence[ScopeTarget]:
    return [decode_scope_ref(scope, f"scopes[{index}]") for index, scope in enumerate(scopes)]


def decode_commit(request: pb.CommitStateRequest) -> StateCommit:
    mutations: list[StateMutation] = []
    try:
        for mutation in request.mutations:
            mutations.append(_decode_mutation(mutation, f"mutations[{len(mutations)}]"))
    except ServiceError as error:
        error.mutation = _at_fault(request, len(mutations))
        raise
    return StateCommit(
        tuple(mutations),
        idempotency_key=request.idempotency_key,
        fingerprint=_fingerprint(request),
        request_id=request.request_id,
        validate_only=request.validate_only,
    )


def _fingerprint(request: pb.CommitStateRequest) -> str:
    """The same whether or not it is only to be validated: the answer is that of the call itself."""
    if not request.idempotency_key:
        return ""
    if request.validate_only:
        whole = pb.CommitStateRequest()
        whole.CopyFrom(request)
        whole.ClearField("validate_only")
        request = whole
    return fingerprint(request)


def decode_deletion(request: pb.DeleteStateRequest) -> StateDeletion:
    return StateDeletion(
        decode_scope_ref(request.scope, "scope"),
        decode_precondition(request.precondition, "precondition")
        if request.HasField("precondition")
        else None,
        allow_missing=request.allow_missing,
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
    )


def decode_paths(paths: Sequence[str]) -> tuple[Pointer, ...]:
    pointers = []
    for index, path in enumerate(paths):
        try:
            pointers.append(parse_pointer(path))
        except PathInvalidError as error:
            raise PathInvalidError(f"paths[{index}]", error.problem) from None
    return tuple(pointers)


def _at_fault(request: pb.CommitStateRequest, index: int) -> MutationAtFault:
    scope, owner = named_owner(request.mutations[index].scope)
    return MutationAtFault(index, scope, owner)


def _decode_mutation(mutation: pb.StateMutation, path: str) -> StateMutation:
    return StateMutation(
        decode_scope_ref(mutation.scope, f"{path}.scope"),
        tuple([decode_operation(op, f"{path}.ops[{index}]") for index, op in enumerate(mutation.ops)]),
        decode_precondition(mutation.precondition, f"{path}.precondition")
        if mutation.HasField("precondition")
        else None,
        mutation.resource,
    )


def decode_precondition(precondition: WirePrecondition, path: str) -> Precondition | None:
    condition = precondition.WhichOneof("condition")
    incarnation = precondition.incarnation
    if condition is None:
        return Exists(True, incarnation) if incarnation else None
    if condition == "exists":
        if incarnation and not precondition.exists:
            raise invalid(f"{path}.incarnation", "contradiction", "must be empty where nothing is to exist")
        return Exists(precondition.exists, incarnation)
    if precondition.version < 0:
        raise invalid(f"{path}.version", "range", "must not be negative")
    return AtVersion(precondition.version, incarnation)


def decode_operation(op: pb.StateOp, path: str) -> Operation:
    """One operation; ``path`` is its message field."""
    case = op.WhichOneof("op")
    if case is None:
        raise required(f"{path}.op")
    try:
        pointer = parse_pointer(op.path)
    except PathInvalidError as error:
        raise PathInvalidError(f"{path}.path", error.problem) from None
    return _OPERATIONS[case](pointer, getattr(op, case), path)


def _test(pointer: Pointer, op: pb.TestOp, path: str) -> Operation:
    expect = op.WhichOneof("expect")
    if expect is None:
        raise required(f"{path}.test.expect")
    if expect == "exists":
        return TestExists(pointer, op.exists)
    return TestEqual(pointer, decode_value(op.equals, f"{path}.test.equals"))


def _set(pointer: Pointer, op: Any, path: str) -> Operation:
    value = decode_value(op, f"{path}.set")
    return SetValue(pointer, value if pointer else _fields(value, f"{path}.set"))


def _merge(pointer: Pointer, op: pb.MergeOp, path: str) -> Operation:
    return Merge(pointer, _fields(decode_value(op.value, f"{path}.merge.value"), f"{path}.merge.value"))


def _increment(pointer: Pointer, op: pb.IncrementOp, path: str) -> Operation:
    delta = op.WhichOneof("delta")
    if delta is None:
        raise required(f"{path}.increment.delta")
    if delta == "by_double" and not math.isfinite(op.by_double):
        raise JsonNumberError(f"{path}.increment.by_double", "a double that is not finite")
    return Increment(pointer, op.by_int if delta == "by_int" else op.by_double)


def _append(pointer: Pointer, op: pb.AppendOp, path: str) -> Operation:
    values = (decode_value(item, f"{path}.append.items[{index}]") for index, item in enumerate(op.items))
    return Append(pointer, tuple(values))


def _remove(pointer: Pointer, op: pb.RemoveOp, path: str) -> Operation:
    if not pointer:
        raise PathInvalidError(f"{path}.path", "must not be the whole document")
    return Remove(pointer, op.must_exist)


def _put_record(pointer: Pointer, op: pb.PutRecordOp, path: str) -> Operation:
    if not op.key:
        raise required(f"{path}.put_record.key")
    check_key(op.key, f"{path}.put_record.key")
    return PutRecord(pointer, op.key, decode_value(op.value, f"{path}.put_record.value"))


def _delete_record(pointer: Pointer, op: pb.DeleteRecordOp, path: str) -> Operation:
    check_key(op.key, f"{path}.delete_record.key")
    return DeleteRecord(pointer, op.key)


_OPERATIONS: Mapping[str, Callable[[Pointer, Any, str], Operation]] = {
    "test": _test,
    "set": _set,
    "merge": _merge,
    "increment": _increment,
    "append": _append,
    "remove": _remove,
    "put_record": _put_record,
    "delete_record": _delete_record,
}


def _fields(value: Json, path: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise invalid(path, "object", "must be a JSON object")
    return value


def encode_states(answers: Sequence[StateAnswer]) -> pb.GetStateResponse:
    """Records with their documents, defaults showing; together no larger than a reply may be."""
    texts = [_document(answer) for answer in answers]
    check_document_reply(sum(len(text) for text in texts if text is not None))
    response = pb.GetStateResponse()
    for answer, text in zip(answers, texts, strict=True):
        _fill(response.records.add(), answer, text)
    return response


def _document(answer: StateAnswer) -> bytes | None:
    if not answer.record.exists and answer.schema is None:
        return None
    state = answer.state
    return answer.record.text if state is answer.record.state else encode_json(state)


def encode_committed(committed: StateCommitted, *, documents: bool) -> pb.CommitStateResponse:
    """What was committed; documents that don't fit the reply are left out, for it can't be refused any more."""
    response = pb.CommitStateResponse(replayed=committed.replayed)
    room = MAX_DOCUMENT_REPLY if documents and not committed.replayed else 0
    for answer in committed.answers:
        text = _document(answer) if room else None
        if text is not None and len(text) > room:
            text = None
        room -= len(text or b"")
        _fill(response.records.add(), answer, text)
    return response


def _fill(message: pb.StateRecord, answer: StateAnswer, text: bytes | None) -> None:
    record = answer.record
    set_scope_ref(message.scope, answer.target)
    if text is not None:
        message.state.json = text.decode()
    meta = message.meta
    meta.version = record.version
    meta.incarnation = record.incarnation
    if record.create_time:
        set_time(meta.create_time, record.create_time)
    if record.update_time:
        set_time(meta.update_time, record.update_time)
    message.schema_hash = answer.schema_hash
    message.exists = record.exists
    message.changed = answer.changed
    message.resource = answer.resource
