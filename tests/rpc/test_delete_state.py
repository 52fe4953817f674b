"""DeleteState, and what the other methods of StateService say of scopes, parts and tests."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from flowstate.v1 import state_service_pb2 as pb
from flowstate.v1.types_pb2 import Precondition, ScopeRef
from flowstate_server.errors import Reason
from tests.support.served import Served, served
from tests.support.wire import CANARY, TRUSTED, Refusal, refused

USER = ScopeRef(user_id="u1", flow_kind="talk")
SHARED = ScopeRef(user_id="u1")
PRIVATE = ScopeRef(user_id="u1", flow_kind="talk", isolated=True)


async def _write(server: Served, *likes: str, scope: ScopeRef = USER) -> pb.StateRecord:
    request = pb.CommitStateRequest(return_state=pb.RETURN_STATE_FULL)
    append = request.mutations.add(scope=scope).ops.add(path="/likes").append
    for like in likes:
        append.items.add(json=f'"{like}"')
    (record,) = (await server.states.CommitState(request, metadata=TRUSTED)).records
    return record


async def _get(server: Served, scope: ScopeRef, *paths: str) -> pb.StateRecord:
    request = pb.GetStateRequest(scopes=[scope], paths=paths)
    (record,) = (await server.states.GetState(request, metadata=TRUSTED)).records
    return record


async def _delete(server: Served, scope: ScopeRef = USER, **fields: Any) -> pb.DeleteStateResponse:
    return await server.states.DeleteState(pb.DeleteStateRequest(scope=scope, **fields), metadata=TRUSTED)


async def _refused(server: Served, scope: ScopeRef = USER, **fields: Any) -> Refusal:
    return await refused(_delete(server, scope, **fields))


async def test_a_record_is_deleted_and_made_anew() -> None:
    async with served() as server:
        first = await _write(server, "tea")
        await _write(server, "milk", scope=PRIVATE)
        await _delete(server)
        gone = await _get(server, USER)
        assert (gone.exists, gone.meta.version, gone.state.json) == (False, 1, '{"likes":[]}')
        anew = await _write(server, "rum")
        assert (anew.meta.version, anew.state.json) == (2, '{"likes":["rum"]}')
        assert anew.meta.incarnation not in ("", first.meta.incarnation)
        private = await _get(server, PRIVATE)
        assert (private.scope, private.state.json) == (PRIVATE, '{"likes":["milk"]}')
        await _delete(server, PRIVATE)
        assert (await _get(server, SHARED)).state.json == '{"likes":["rum"]}'


@pytest.mark.parametrize(
    ("scope", "fields", "reason", "places"),
    [
        (ScopeRef(), {}, Reason.VALIDATION_FAILED, ["scope.owner"]),
        (ScopeRef(session_id="s"), {}, Reason.VALIDATION_FAILED, ["scope.owner"]),
        (ScopeRef(request_id="r"), {"allow_missing": True}, Reason.VALIDATION_FAILED, ["scope.owner"]),
        (ScopeRef(user_id="u1", isolated=True), {}, Reason.VALIDATION_FAILED, ["scope.flow_kind"]),
        (USER, {"idempotency_key": "k" * 129}, Reason.VALIDATION_FAILED, ["idempotency_key"]),
        (
            USER,
            {"precondition": Precondition(version=-1)},
            Reason.VALIDATION_FAILED,
            ["precondition.version"],
        ),
        (ScopeRef(user_id="u1", flow_kind="other"), {}, Reason.FLOW_NOT_FOUND, None),
        (USER, {"precondition": Precondition(version=7)}, Reason.VERSION_MISMATCH, None),
        (USER, {"precondition": Precondition(incarnation="i")}, Reason.VERSION_MISMATCH, None),
        (ScopeRef(user_id="u2"), {}, Reason.VERSION_MISMATCH, None),
    ],
)
async def test_what_is_refused(
    scope: ScopeRef, fields: dict[str, Any], reason: Reason, places: list[str] | None
) -> None:
    async with served() as server:
        await _write(server, "tea")
        refusal = await _refused(server, scope, **fields)
        assert refusal.reason is reason
        if places is not None:
            assert refusal.fields == places
        assert (await _get(server, USER)).exists


async def test_repeats_by_key() -> None:
    async with served() as server:
        await _write(server, "tea")
        first = await _delete(server, idempotency_key="k")
        await _write(server, "rum")
        again = await _delete(server, idempotency_key="k")
        assert (first.replayed, again.replayed) == (False, True)
        assert (await _get(server, USER)).exists
        other = await _refused(server, idempotency_key="k", allow_missing=True)
        assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED


async def test_a_missing_record_may_be_fine() -> None:
    async with served() as server:
        for precondition in (None, Precondition(version=3), Precondition(incarnation="i")):
            await _delete(server, allow_missing=True, precondition=precondition)
        await _write(server, "tea")
        refusal = await _refused(server, allow_missing=True, precondition=Precondition(version=3))
    assert (refusal.code, refusal.metadata["current"]) == (grpc.StatusCode.ABORTED, "1")


async def test_sessions_have_no_private_records() -> None:
    scope = ScopeRef(session_id="s1", isolated=True)
    async with served() as server:
        read = await refused(_get(server, scope))
        write = await refused(_write(server, "tea", scope=scope))
    assert (read.fields, write.fields) == (["scopes[0].isolated"], ["mutations[0].scope.isolated"])


async def test_who_names_no_flow_is_judged_by_all_that_share_the_record() -> None:
    async with served() as server:
        record = await _write(server, "tea", scope=SHARED)
        assert (record.scope, record.state.json) == (SHARED, '{"likes":["tea"]}')
        assert record.schema_hash == (await _get(server, USER)).schema_hash != ""
        undeclared = pb.CommitStateRequest()
        undeclared.mutations.add(scope=SHARED).ops.add(path="/dislikes").set.json = "[]"
        refusal = await refused(server.states.CommitState(undeclared, metadata=TRUSTED))
        assert (refusal.reason, refusal.fields) == (Reason.SCHEMA_VIOLATION, ["/dislikes"])
        nobodys = await _write_org(server)
        assert (nobodys.reason, nobodys.fields) == (Reason.SCHEMA_VIOLATION, ["/likes"])


async def _write_org(server: Served) -> Refusal:
    """No flow has anything in this scope."""
    return await refused(_write(server, "tea", scope=ScopeRef(org_id="o1")))


async def test_parts_are_asked_for_by_pointers() -> None:
    async with served() as server:
        await _write(server, "tea")
        assert (await _get(server, USER, "/likes")).state.json == '{"likes":["tea"]}'
        assert (await _get(server, USER, "/likes/0", "/nothing")).state.json == "{}"
        assert not (await _get(server, ScopeRef(org_id="o1"), "/likes")).HasField("state")
        for bad in ("likes", "/~2", "/a" * 65):
            refusal = await refused(_get(server, USER, "/likes", bad))
            assert (refusal.reason, refusal.fields) == (Reason.PATH_INVALID, ["paths[1]"])
        many = await refused(_get(server, USER, *["/likes"] * 101))
        assert (many.reason, many.fields) == (Reason.VALIDATION_FAILED, ["paths"])


def _tested(**expect: Message | bool) -> pb.CommitStateRequest:
    request = pb.CommitStateRequest()
    request.mutations.add(scope=USER).ops.add(path="/likes", test=pb.TestOp(**expect))  # type: ignore[arg-type]
    return request


async def test_a_test_that_fails_tells_where_and_no_value() -> None:
    async with served() as server:
        await _write(server, CANARY)
        request = _tested()
        request.mutations[0].ops[0].test.equals.json = f'["{CANARY}!"]'
        refusal = await refused(server.states.CommitState(request, metadata=TRUSTED))
        assert (refusal.reason, refusal.metadata["path"]) == (Reason.STATE_TEST_FAILED, "/likes")
        assert (refusal.metadata["mutation"], refusal.metadata["owner"]) == ("0", "u1")
        empty = await refused(server.states.CommitState(_tested(), metadata=TRUSTED))
        assert empty.fields == ["mutations[0].ops[0].test.expect"]
        held = await server.states.CommitState(_tested(exists=True), metadata=TRUSTED)
        assert (held.records[0].changed, held.records[0].meta.version) == (False, 1)
