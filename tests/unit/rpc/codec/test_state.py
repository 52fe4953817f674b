from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from flowstate.v1 import state_service_pb2 as pb
from flowstate.v1.types_pb2 import Precondition, ScopeRef, Value
from flowstate_server.engine.calls.state import AtVersion, Exists, ScopeTarget, StateAnswer, StateCommitted
from flowstate_server.errors import (
    JsonInvalidError,
    JsonLimitError,
    JsonNumberError,
    MessageTooLargeError,
    PathInvalidError,
    ServiceError,
    ValidationFailedError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind, user_scope
from flowstate_server.rpc.codec.state import (
    decode_commit,
    decode_operation,
    decode_targets,
    encode_committed,
    encode_states,
)
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
)


def _json(text: str) -> Value:
    return Value(json=text)


BIG = 2**63 - 1


@pytest.mark.parametrize(
    ("wire", "operation"),
    [
        (pb.StateOp(path="", set=_json('{"a":1.0}')), SetValue((), {"a": 1.0})),
        (pb.StateOp(path="/a~1b/c~0d", set=_json("null")), SetValue(("a/b", "c~d"), None)),
        (
            pb.StateOp(path="", merge=pb.MergeOp(value=_json('{"n":9223372036854775807}'))),
            Merge((), {"n": BIG}),
        ),
        (pb.StateOp(path="/n", increment=pb.IncrementOp(by_int=0)), Increment(("n",), 0)),
        (pb.StateOp(path="/n", increment=pb.IncrementOp(by_int=-BIG - 1)), Increment(("n",), -BIG - 1)),
        (pb.StateOp(path="/n", increment=pb.IncrementOp(by_double=-0.0)), Increment(("n",), -0.0)),
        (
            pb.StateOp(path="/l", append=pb.AppendOp(items=[_json("1"), _json('"x"')])),
            Append(("l",), (1, "x")),
        ),
        (pb.StateOp(path="/a", remove=pb.RemoveOp(must_exist=True)), Remove(("a",), True)),
        (
            pb.StateOp(path="/m", put_record=pb.PutRecordOp(key="k/~", value=_json("[]"))),
            PutRecord(("m",), "k/~", []),
        ),
        (pb.StateOp(path="/m", delete_record=pb.DeleteRecordOp(key="k")), DeleteRecord(("m",), "k")),
    ],
)
def test_operations(wire: pb.StateOp, operation: Operation) -> None:
    decoded = decode_operation(wire, "op")
    assert decoded == operation
    assert repr(decoded) == repr(operation)  # 1, 1.0 and -0.0 are equal to Python


@pytest.mark.parametrize(
    ("wire", "refusal", "path"),
    [
        (pb.StateOp(path="/a"), ValidationFailedError, "op.op"),
        (pb.StateOp(path="a", set=_json("1")), PathInvalidError, "op.path"),
        (pb.StateOp(path="/a~2", set=_json("1")), PathInvalidError, "op.path"),
        (pb.StateOp(path="", remove=pb.RemoveOp()), PathInvalidError, "op.path"),
        (pb.StateOp(path="/a", set=Value()), ValidationFailedError, "op.set"),
        (pb.StateOp(path="/a", set=_json("")), JsonInvalidError, "op.set"),
        (pb.StateOp(path="/a", set=_json("{")), JsonInvalidError, "op.set"),
        (pb.StateOp(path="/a", set=_json('{"x":[1e999]}')), JsonNumberError, "op.set/x/0"),
        (pb.StateOp(path="/a", set=_json("[" * 65 + "]" * 65)), JsonLimitError, "op.set" + "/0" * 64),
        (pb.StateOp(path="", set=_json("[]")), ValidationFailedError, "op.set"),
        (pb.StateOp(path="", merge=pb.MergeOp()), ValidationFailedError, "op.merge.value"),
        (pb.StateOp(path="", merge=pb.MergeOp(value=_json("1"))), ValidationFailedError, "op.merge.value"),
        (pb.StateOp(path="/n", increment=pb.IncrementOp()), ValidationFailedError, "op.increment.delta"),
        (
            pb.StateOp(path="/n", increment=pb.IncrementOp(by_double=float("nan"))),
            JsonNumberError,
            "op.increment.by_double",
        ),
        (
            pb.StateOp(path="/l", append=pb.AppendOp(items=[_json("1"), _json("x")])),
            JsonInvalidError,
            "op.append.items[1]",
        ),
        (
            pb.StateOp(path="/m", put_record=pb.PutRecordOp(key="")),
            ValidationFailedError,
            "op.put_record.key",
        ),
        (
            pb.StateOp(path="/m", put_record=pb.PutRecordOp(key="ü" * 200)),
            JsonLimitError,
            "op.put_record.key",
        ),
        (
            pb.StateOp(path="/m", put_record=pb.PutRecordOp(key="k")),
            ValidationFailedError,
            "op.put_record.value",
        ),
    ],
)
def test_operations_that_are_refused(wire: pb.StateOp, refusal: type[ServiceError], path: str) -> None:
    with pytest.raises(refusal) as raised:
        decode_operation(wire, "op")
    error = raised.value
    places = (
        [one.path for one in error.violations]
        if isinstance(error, ValidationFailedError)
        else [vars(error)["path"]]
    )
    assert places == [path]


def _commit(**fields: object) -> pb.CommitStateRequest:
    mutation = pb.StateMutation(scope=ScopeRef(user_id="u1", flow_kind="chat"))
    mutation.ops.add(path="/n").increment.by_int = 1
    return pb.CommitStateRequest(mutations=[mutation], **fields)  # type: ignore[arg-type]


def test_a_commit() -> None:
    commit = decode_commit(_commit(idempotency_key="k", request_id="r"))
    (mutation,) = commit.mutations
    assert mutation.target == ScopeTarget(ScopeKind.USER, "u1", "chat")
    assert mutation.operations == (Increment(("n",), 1),)
    assert mutation.precondition is None
    assert (commit.idempotency_key, commit.request_id) == ("k", "r")


def test_the_fingerprint_is_of_the_message_without_its_key() -> None:
    one, same = (decode_commit(_commit(idempotency_key=key)).fingerprint for key in ("a", "b"))
    other = decode_commit(_commit(idempotency_key="a", return_state=pb.RETURN_STATE_FULL)).fingerprint
    assert one == same
    assert one != other
    assert decode_commit(_commit()).fingerprint == ""


@pytest.mark.parametrize(
    ("precondition", "decoded"),
    [
        (Precondition(), None),
        (Precondition(version=0), AtVersion(0)),
        (Precondition(version=7), AtVersion(7)),
        (Precondition(exists=False), Exists(False)),
        (Precondition(exists=True), Exists(True)),
        (Precondition(version=7, incarnation="i"), AtVersion(7, "i")),
        (Precondition(exists=True, incarnation="i"), Exists(True, "i")),
        (Precondition(incarnation="i"), Exists(True, "i")),
    ],
)
def test_preconditions(precondition: Precondition, decoded: object) -> None:
    request = _commit()
    request.mutations[0].precondition.CopyFrom(precondition)
    assert decode_commit(request).mutations[0].precondition == decoded


def test_nothing_that_is_absent_has_an_incarnation() -> None:
    request = _commit()
    request.mutations[0].precondition.CopyFrom(Precondition(exists=False, incarnation="i"))
    with pytest.raises(ValidationFailedError) as refusal:
        decode_commit(request)
    assert [one.path for one in refusal.value.violations] == ["mutations[0].precondition.incarnation"]


def test_paths_of_a_commit_name_mutation_and_operation() -> None:
    request = _commit()
    request.mutations.add(scope=ScopeRef(session_id="s")).ops.add(path="/a").set.json = "{"
    with pytest.raises(JsonInvalidError) as bad_json:
        decode_commit(request)
    assert bad_json.value.path == "mutations[1].ops[0].set"
    request = _commit()
    request.mutations[0].precondition.version = -1
    with pytest.raises(ValidationFailedError) as bad_version:
        decode_commit(request)
    assert bad_version.value.violations[0].path == "mutations[0].precondition.version"


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (ScopeRef(), "scopes[1].owner"),
        (ScopeRef(user_id=""), "scopes[1].user_id"),
        (ScopeRef(session_id="a\x00"), "scopes[1].session_id"),
        (ScopeRef(org_id="o", flow_kind="\n"), "scopes[1].flow_kind"),
    ],
)
def test_scopes_that_are_refused(ref: ScopeRef, path: str) -> None:
    with pytest.raises(ValidationFailedError) as refusal:
        decode_targets([ScopeRef(request_id="r"), ref])
    assert refusal.value.violations[0].path == path


class _Numbers(BaseModel):
    n: int
    m: int = 0


SCHEMA = merge_declarations(ScopeKind.USER, [Declaration(_Numbers, "test")])


def _answer(text: bytes = b'{"n":1}', **fields: Any) -> StateAnswer:
    record = StateRecord(
        user_scope("u1"), version=3, exists=True, text=text, create_time=Micros(1), update_time=Micros(2)
    )
    return StateAnswer(ScopeTarget(ScopeKind.USER, "u1", "chat"), record, **{"schema": SCHEMA, **fields})


def test_a_record_has_its_document_with_defaults() -> None:
    (record,) = encode_states([_answer()]).records
    assert record.scope == ScopeRef(user_id="u1", flow_kind="chat")
    assert record.state.json == '{"n":1,"m":0}'
    assert record.meta.version == 3
    assert record.meta.update_time.nanos == 2_000
    assert (record.schema_hash, record.exists, record.changed) == (SCHEMA.hash, True, False)


def test_a_record_that_no_flow_governs_has_its_document_as_stored() -> None:
    (record,) = encode_states([_answer(b'{"a":1.0}', schema=None)]).records
    assert record.state.json == '{"a":1.0}'
    assert record.schema_hash == ""


def test_a_record_that_was_never_written_has_no_times() -> None:
    answer = StateAnswer(ScopeTarget(ScopeKind.SESSION, "s"), StateRecord(user_scope("u1")), None)
    (record,) = encode_states([answer]).records
    assert not record.exists
    assert not record.HasField("state")
    assert not record.meta.HasField("create_time")


def test_a_replay_has_no_documents() -> None:
    reply = encode_committed(StateCommitted([_answer(changed=True)], replayed=True), documents=True)
    assert reply.replayed
    assert reply.records[0].changed
    assert not reply.records[0].HasField("state")


def test_documents_that_do_not_fit_one_reply() -> None:
    answers = [_answer(b'{"n":1,"note":"' + b"x" * 1_000_000 + b'"}') for _ in range(4)]
    with pytest.raises(MessageTooLargeError):
        encode_states(answers)
    reply = encode_committed(StateCommitted(answers, replayed=False), documents=True)
    assert [record.HasField("state") for record in reply.records] == [True, True, True, False]
