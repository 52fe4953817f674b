from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from flowstate.v1 import flow_service_pb2 as flows, state_service_pb2 as pb
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import CANARY, TRUSTED, Refusal, refused

SESSION = ScopeRef(session_id="s1")
USER = ScopeRef(user_id="u1", flow_kind="talk")


async def _session(server: Served) -> None:
    await server.flows.CallAction(flows.CallActionRequest(spec=spec(session_id="s1", request_id="r1")))


def _increment(scope: ScopeRef = SESSION, by: int = 1, **fields: object) -> pb.CommitStateRequest:
    request = pb.CommitStateRequest(**fields)  # type: ignore[arg-type]
    request.mutations.add(scope=scope).ops.add(path="/count").increment.by_int = by
    return request


async def _commit(server: Served, request: pb.CommitStateRequest) -> pb.CommitStateResponse:
    return await server.states.CommitState(request, metadata=TRUSTED)


async def _refused(server: Served, request: pb.CommitStateRequest) -> Refusal:
    return await refused(_commit(server, request))


async def _get(server: Served, *scopes: ScopeRef) -> list[pb.StateRecord]:
    reply = await server.states.GetState(pb.GetStateRequest(scopes=scopes), metadata=TRUSTED)
    return list(reply.records)


async def test_state_is_for_the_trusted_plane() -> None:
    async with served() as server:
        for call in (server.states.GetState(pb.GetStateRequest()), server.states.CommitState(_increment())):
            assert (await refused(call)).reason is Reason.ACCESS_DENIED


async def test_write_and_read_several_scopes_at_once() -> None:
    async with served() as server:
        await _session(server)
        request = _increment(by=4, return_state=pb.RETURN_STATE_FULL)
        request.mutations.add(scope=USER).ops.add(path="/likes").append.items.add(json='"tea"')
        reply = await _commit(server, request)
        orgs = (ScopeRef(org_id="o1", flow_kind="talk"), ScopeRef(org_id="o2"))
        session, user, org, nobodys = await _get(server, SESSION, USER, *orgs)
    assert [record.state.json for record in reply.records] == [
        '{"count":5,"secret":""}',
        '{"likes":["tea"]}',
    ]
    assert [record.changed for record in reply.records] == [True, True]
    assert (session.state, session.meta) == (reply.records[0].state, reply.records[0].meta)
    assert user.scope == USER
    assert user.meta.version == 1
    assert user.meta.incarnation
    assert (org.exists, org.meta.version, org.state.json) == (False, 0, "{}")
    assert org.meta.incarnation == ""
    assert (nobodys.exists, nobodys.HasField("state")) == (False, False)


async def test_blanks_and_line_breaks_are_not_kept() -> None:
    request = pb.CommitStateRequest(return_state=pb.RETURN_STATE_FULL)
    request.mutations.add(scope=USER).ops.add(path="/likes").set.json = '[\n  "tea",\r\n\t"milk" ]\n'
    async with served() as server:
        (record,) = (await _commit(server, request)).records
    assert record.state.json == '{"likes":["tea","milk"]}'


async def test_a_commit_gives_versions_back_and_documents_only_if_asked() -> None:
    async with served() as server:
        await _session(server)
        (record,) = (await _commit(server, _increment())).records
        (unchanged,) = (await _commit(server, _increment(by=0))).records
    assert (record.meta.version, record.changed, record.HasField("state")) == (2, True, False)
    assert (unchanged.meta.version, unchanged.changed) == (2, False)


async def test_no_increment_is_lost() -> None:
    async with served() as server:
        await _session(server)
        await asyncio.gather(*(_commit(server, _increment()) for _ in range(100)))
        (record,) = await _get(server, SESSION)
    assert record.state.json == '{"count":101,"secret":""}'
    assert record.meta.version == 101


async def test_repeats_by_key() -> None:
    async with served() as server:
        await _session(server)
        request = _increment(idempotency_key="k1", return_state=pb.RETURN_STATE_FULL)
        first, again = await _commit(server, request), await _commit(server, request)
        reused = await _refused(server, _increment(by=2, idempotency_key="k1"))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.records[0].meta.version == first.records[0].meta.version == 2
    assert again.records[0].changed
    assert not again.records[0].HasField("state")
    assert reused.reason is Reason.IDEMPOTENCY_KEY_REUSED


async def test_a_precondition_that_does_not_hold() -> None:
    async with served() as server:
        await _session(server)
        request = _increment()
        request.mutations[0].precondition.version = 7
        refusal = await _refused(server, request)
        (record,) = await _get(server, SESSION)
    assert refusal.reason is Reason.VERSION_MISMATCH
    assert refusal.metadata == {
        "scope": "session",
        "expected": "7",
        "current": "1",
        "mutation": "0",
        "owner": "s1",
    }
    assert record.meta.version == 1


async def test_a_state_that_would_break_its_schema() -> None:
    async with served() as server:
        await _session(server)
        request = pb.CommitStateRequest()
        request.mutations.add(scope=SESSION).ops.add(path="/count").set.json = f'"{CANARY}"'
        refusal = await _refused(server, request)
    assert refusal.reason is Reason.SCHEMA_VIOLATION
    assert refusal.fields == ["/count"]


async def test_the_wrong_type_for_an_operation() -> None:
    async with served() as server:
        await _session(server)
        request = pb.CommitStateRequest()
        request.mutations.add(scope=SESSION).ops.add(path="/count").append.items.add(json="1")
        assert (await _refused(server, request)).reason is Reason.STATE_TYPE_CONFLICT


def _wrong_json(mutation: pb.StateMutation) -> None:
    mutation.ops.add(path="/likes").set.json = "{"


def _wrong_path(mutation: pb.StateMutation) -> None:
    mutation.ops.add(path="likes").remove.SetInParent()


def _no_owner(mutation: pb.StateMutation) -> None:
    mutation.scope.ClearField("user_id")


def _no_flow(mutation: pb.StateMutation) -> None:
    mutation.scope.flow_kind = ""
    mutation.scope.isolated = True


def _no_operation(mutation: pb.StateMutation) -> None:
    del mutation.ops[:]


def _ended_request(mutation: pb.StateMutation) -> None:
    mutation.scope.CopyFrom(ScopeRef(request_id="r1"))


def _other_flow(mutation: pb.StateMutation) -> None:
    mutation.scope.CopyFrom(ScopeRef(session_id="s1", flow_kind="else"))


def _wrong_version(mutation: pb.StateMutation) -> None:
    mutation.precondition.version = 9


@pytest.mark.parametrize(
    ("spoil", "reason", "owner"),
    [
        (_wrong_json, Reason.JSON_INVALID, ("user", "u1")),
        (_wrong_path, Reason.PATH_INVALID, ("user", "u1")),
        (_no_owner, Reason.VALIDATION_FAILED, ("", "")),
        (_no_flow, Reason.VALIDATION_FAILED, ("user", "u1")),
        (_no_operation, Reason.VALIDATION_FAILED, ("user", "u1")),
        (_ended_request, Reason.REQUEST_TERMINAL, ("request", "r1")),
        (_other_flow, Reason.FLOW_BINDING_MISMATCH, ("session", "s1")),
        (_wrong_version, Reason.VERSION_MISMATCH, ("user", "u1")),
    ],
)
async def test_w3_a_refusal_names_the_mutation_at_fault(
    spoil: Callable[[pb.StateMutation], None], reason: Reason, owner: tuple[str, str]
) -> None:
    request = _increment(ScopeRef(session_id="s2"), idempotency_key="k")
    spoiled = request.mutations.add(scope=USER)
    spoiled.ops.add(path="/likes").append.items.add(json='"tea"')
    spoil(spoiled)
    async with served() as server:
        await _session(server)
        await server.flows.CallAction(flows.CallActionRequest(spec=spec(session_id="s2")))
        refusal = await _refused(server, request)
        (untouched,) = await _get(server, ScopeRef(session_id="s2"))
    assert refusal.reason is reason
    told = (refusal.metadata["mutation"], refusal.metadata["scope"], refusal.metadata["owner"])
    assert told == ("1", *owner)
    assert "mutations[1]" in refusal.message
    assert untouched.meta.version == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda mutation: setattr(mutation.precondition, "version", 7), Reason.VERSION_MISMATCH),
        (lambda mutation: setattr(mutation.precondition, "exists", False), Reason.VERSION_MISMATCH),
        (
            lambda mutation: setattr(mutation.ops.add(path="/count").set, "json", '"x"'),
            Reason.SCHEMA_VIOLATION,
        ),
        (
            lambda mutation: mutation.ops.add(path="/count").append.items.add(json="1"),
            Reason.STATE_TYPE_CONFLICT,
        ),
        (
            lambda mutation: setattr(mutation.ops.add(path="/other").remove, "must_exist", True),
            Reason.STATE_TEST_FAILED,
        ),
    ],
)
async def test_w3_of_two_sessions_the_one_at_fault_is_named(
    spoil: Callable[[pb.StateMutation], None], reason: Reason
) -> None:
    request = _increment()
    other = ScopeRef(session_id="s2")
    async with served() as server:
        await _session(server)
        await server.flows.CallAction(flows.CallActionRequest(spec=spec(session_id="s2")))
        await _commit(server, _increment(other))
        spoil(request.mutations.add(scope=other))
        refusal = await _refused(server, request)
        one, two = await _get(server, SESSION, other)
    assert refusal.reason is reason
    told = (refusal.metadata["mutation"], refusal.metadata["scope"], refusal.metadata["owner"])
    assert told == ("1", "session", "s2")
    assert "mutations[1] (session s2)" in refusal.message
    assert (one.meta.version, two.meta.version) == (1, 2)


async def test_a_refusal_for_no_single_mutation_names_none() -> None:
    async with served() as server:
        await _session(server)
        ended = await _refused(server, _increment(USER, request_id="r1"))
        await _commit(server, _increment(idempotency_key="k"))
        reused = await _refused(server, _increment(by=2, idempotency_key="k"))
    assert (ended.reason, reused.reason) == (Reason.REQUEST_TERMINAL, Reason.IDEMPOTENCY_KEY_REUSED)
    assert "mutation" not in {*ended.metadata, *reused.metadata}


@pytest.mark.parametrize(
    ("scopes", "operations", "field"), [(0, 0, "mutations"), (17, 1, "mutations"), (1, 101, "mutations")]
)
async def test_limits_of_a_commit(scopes: int, operations: int, field: str) -> None:
    async with served() as server:
        request = pb.CommitStateRequest()
        for number in range(scopes):
            mutation = request.mutations.add(scope=ScopeRef(user_id=f"u{number}", flow_kind="talk"))
            for _ in range(operations):
                mutation.ops.add(path="/likes").append.items.add(json='"x"')
        assert (await _refused(server, request)).fields == [field]


@pytest.mark.parametrize("count", [0, 17])
async def test_limits_of_a_read(count: int) -> None:
    async with served() as server:
        request = pb.GetStateRequest(scopes=[USER] * count)
        assert (await refused(server.states.GetState(request, metadata=TRUSTED))).fields == ["scopes"]


async def test_an_empty_mutation_and_a_scope_named_twice() -> None:
    async with served() as server:
        await _session(server)
        empty = pb.CommitStateRequest(mutations=[pb.StateMutation(scope=SESSION)])
        assert (await _refused(server, empty)).fields == ["mutations[0].ops"]
        twice = _increment()
        twice.mutations.append(twice.mutations[0])
        assert (await _refused(server, twice)).fields == ["mutations[1].scope"]


async def test_a_resource_that_nobody_declares_is_not_written() -> None:
    async with served() as server:
        await _session(server)
        resource = _increment()
        resource.mutations[0].resource = "artifact"
        refusal = await _refused(server, resource)
        (record,) = await _get(server, SESSION)
    assert refusal.reason is Reason.RESOURCE_NOT_FOUND
    assert (refusal.metadata["scope"], refusal.metadata["name"]) == ("session", "artifact")
    assert record.meta.version == 1


async def test_a_session_of_another_tenant_does_not_exist() -> None:
    async with served() as server:
        await _session(server)
        elsewhere = (*TRUSTED, ("x-tenant-id", "b"))
        read = server.states.GetState(pb.GetStateRequest(scopes=[SESSION]), metadata=elsewhere)
        write = server.states.CommitState(_increment(), metadata=elsewhere)
        for call in (read, write):
            assert (await refused(call)).reason is Reason.SESSION_NOT_FOUND
