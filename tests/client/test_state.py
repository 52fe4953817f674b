"""State records: operations, conditions, batches, compare-and-swap."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, assert_type

import grpc
import pytest
from pydantic import BaseModel

from flowstate.v1 import state_service_pb2, types_pb2
from flowstate_client import (
    ClientConfig,
    ConcurrentModificationError,
    FlowStateClient,
    JsonCodec,
    ResponseValidationError,
    StateRecord,
    StateWrite,
    VersionMismatch,
)
from tests.client.conftest import FAST
from tests.client.fake_tails import refuse
from tests.client.fakes import FakeServer


class Chat(BaseModel):
    count: int = 0
    mode: str = "chat"


def last_ops(server: FakeServer) -> list[tuple[str, str]]:
    (mutation,) = server.state.seen[-1].mutations
    return [(op.path, str(op.WhichOneof("op"))) for op in mutation.ops]


async def test_the_operations_on_the_wire(server: FakeServer, client: FlowStateClient) -> None:
    session = client.state.session("s1")
    assert await session.set_state(Chat(count=3)) == StateWrite(1, True)
    assert last_ops(server) == [("", "set")]
    assert server.state.seen[-1].mutations[0].ops[0].set.json == '{"count":3,"mode":"chat"}'
    await session.patch_state({"mode": "agent", "a/b": None}, count=1)
    assert last_ops(server) == [("", "merge")]
    assert (
        server.state.seen[-1].mutations[0].ops[0].merge.value.json == '{"mode":"agent","a/b":null,"count":1}'
    )
    await session.inc_state({"n~": 2}, x=-1.5)
    assert last_ops(server) == [("/n~0", "increment"), ("/x", "increment")]
    first, second = server.state.seen[-1].mutations[0].ops
    assert (first.increment.by_int, second.increment.by_double) == (2, -1.5)
    await session.push_state("log", {"a": 1}, "b")
    assert [item.json for item in server.state.seen[-1].mutations[0].ops[0].append.items] == [
        '{"a":1}',
        '"b"',
    ]
    await session.set_state_record("by_id", "doc/1", 5)
    (op,) = server.state.seen[-1].mutations[0].ops
    assert (op.path, op.put_record.key, op.put_record.value.json) == ("/by_id", "doc/1", "5")
    await session.delete_state_record("by_id", "doc/1")
    assert last_ops(server) == [("/by_id", "delete_record")]
    await session.unset_state("a/b", "c")
    assert last_ops(server) == [("/a~1b", "remove"), ("/c", "remove")]


async def test_what_cannot_be_written_is_refused_before_anything_is_sent(
    server: FakeServer, client: FlowStateClient
) -> None:
    session = client.state.session("s1")
    writes: list[Callable[[], object]] = [
        lambda: session.inc_state(n=True),
        lambda: session.inc_state(n=float("nan")),
        lambda: session.inc_state(n=2**63),
        lambda: session.inc_state({"n": "1"}),  # type: ignore[dict-item]
        lambda: session.patch_state(x={math.nan}),
        lambda: session.push_state("log", object()),
        lambda: session.set_state_record("by_id", "", 1),
        lambda: session.set_state_record("by_id", (1,), 1),
    ]
    for write in writes:
        with pytest.raises(ValueError):
            write()
    assert server.state.seen == []


async def test_scopes_and_conditions(server: FakeServer, client: FlowStateClient) -> None:
    state = client.state
    scopes = [
        (state.session("s", flow_kind="chat"), types_pb2.ScopeRef(session_id="s", flow_kind="chat")),
        (state.request("r"), types_pb2.ScopeRef(request_id="r")),
        (state.org("o", flow_kind="chat"), types_pb2.ScopeRef(org_id="o", flow_kind="chat")),
        (
            state.user("u", flow_kind="chat", isolated=True),
            types_pb2.ScopeRef(user_id="u", flow_kind="chat", isolated=True),
        ),
    ]
    for handle, scope in scopes:
        await handle.patch_state(a=1)
        assert server.state.seen[-1].mutations[0].scope == scope
        assert not server.state.seen[-1].mutations[0].HasField("precondition")
    with pytest.raises(VersionMismatch) as caught:
        await state.session("s", flow_kind="chat").at(7).patch_state(a=2)
    assert caught.value.current_version == 1
    await state.session("s").if_exists(False).on_behalf_of("req_1").patch_state(a=2)
    commit = server.state.seen[-1]
    assert commit.request_id == "req_1"
    assert commit.mutations[0].precondition.WhichOneof("condition") == "exists"
    assert commit.mutations[0].precondition.exists is False


async def test_get_reads_a_typed_record(server: FakeServer, client: FlowStateClient) -> None:
    user = client.state.user("u1")
    record = await user.get(model=Chat)
    assert (record.exists, record.version, record.state) == (False, 0, Chat())
    await user.patch_state(count=4)
    record = await user.get(model=Chat, paths=["/count"])
    assert server.state.seen[-1].paths == ["/count"]
    assert (record.exists, record.version, record.state.count) == (True, 1, 4)
    assert (await user.get()).state == {"count": 4}
    await user.patch_state(count="many")
    record = await user.get(model=Chat)
    with pytest.raises(ResponseValidationError):
        _ = record.state


async def test_a_handle_with_a_model_reads_the_state_as_that(
    server: FakeServer, client: FlowStateClient
) -> None:
    def more(state: Chat) -> dict[str, Any]:
        return {"count": state.count + 1}

    for handle in (
        client.state.session("s", model=Chat),
        client.state.user("u", flow_kind="chat", model=Chat),
        client.state.org("o", flow_kind="chat", model=Chat),
        client.state.request("r", model=Chat),
    ):
        await handle.if_exists(False).patch_state(count=1)
        await handle.at(1).on_behalf_of("req_1").atomic_state(more)
        record = await handle.get()
        assert_type(record, StateRecord[Chat])
        assert record.state == Chat(count=2)
        assert (await handle.get(model=dict[str, Any])).state == {"count": 2}


async def test_a_batch_on_one_scope_is_one_commit(server: FakeServer, client: FlowStateClient) -> None:
    async with client.state.session("s").at(0).batch() as batch:
        batch.patch_state(mode="agent")
        batch.inc_state(count=1)
        batch.push_state("log", "x")
    assert batch.result == StateWrite(1, True)
    (commit,) = server.state.seen
    assert [op.WhichOneof("op") for op in commit.mutations[0].ops] == ["merge", "increment", "append"]
    assert commit.mutations[0].precondition.version == 0
    assert commit.mutations[0].HasField("precondition")

    with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what is tested
        async with client.state.session("s").batch() as batch:
            batch.patch_state(mode="chat")
            raise RuntimeError
    async with client.state.session("s").batch():
        pass
    assert len(server.state.seen) == 1


async def test_a_batch_over_scopes_is_one_commit(server: FakeServer, client: FlowStateClient) -> None:
    async with client.state.batch(request_id="req_1") as batch:
        batch.session("s").patch_state(mode="agent")
        account = batch.user("u1").at(0)
        account.patch_state(credits=9)
        batch.session("s").patch_state(count=1)
        batch.org("o")  # nothing to write
        batch.request("r").if_exists()
    (commit,) = server.state.seen
    assert commit.request_id == "req_1"
    owners = [mutation.scope.WhichOneof("owner") for mutation in commit.mutations]
    assert owners == ["session_id", "user_id", "request_id"]
    assert [len(mutation.ops) for mutation in commit.mutations] == [2, 1, 0]
    assert account.result == StateWrite(1, True)

    with pytest.raises(VersionMismatch):  # noqa: PT012 - the commit is at the end of the block
        async with client.state.batch() as batch:
            batch.session("s").patch_state(mode="chat")
            batch.user("u1").at(5).patch_state(credits=8)
    assert (await client.state.session("s").get(model=Chat)).state.mode == "agent"


async def test_contenders_of_one_client_take_turns(server: FakeServer, client: FlowStateClient) -> None:
    def more(state: Chat) -> dict[str, Any]:
        return {"count": state.count + 1}

    session = client.state.session("s")
    await asyncio.gather(*(session.atomic_state(more, model=Chat) for _ in range(40)))
    assert (await session.get(model=Chat)).state.count == 40
    commits = [r for r in server.state.seen if isinstance(r, state_service_pb2.CommitStateRequest)]
    assert len(commits) == 40, "none of them lost a race"
    assert len({commit.idempotency_key for commit in commits}) == 40
    assert len(client.state._turns) == 0


async def test_contenders_of_several_clients_all_land(server: FakeServer) -> None:
    config = ClientConfig(timeout=10, cas_attempts=100, backoff=FAST.backoff)

    async def contend() -> None:
        async with FlowStateClient.connect(server.target, config=config) as client:
            for _ in range(5):
                await client.state.session("s").atomic_state(lambda state: {"n": state.get("n", 0) + 1})

    await asyncio.gather(*(contend() for _ in range(6)))
    assert server.state.documents[next(iter(server.state.documents))][1] == {"n": 30}


async def test_a_lost_race_is_run_again_on_the_fresh_state(
    server: FakeServer, client: FlowStateClient
) -> None:
    session = client.state.session("s")
    await session.patch_state(count=1)
    seen: list[int] = []

    async def meanwhile(request: Any, context: Any) -> None:
        server.state.before_commit = None
        version, document = next(iter(server.state.documents.values()))
        server.state.documents[next(iter(server.state.documents))] = (version + 1, {**document, "count": 10})

    def change(state: Chat) -> dict[str, Any]:
        seen.append(state.count)
        return {"count": state.count + 1}

    server.state.before_commit = meanwhile
    assert await session.atomic_state(change, model=Chat) == StateWrite(3, True)
    assert seen == [1, 10]
    assert (await session.get()).state == {"count": 11}


async def test_a_change_of_nothing_writes_nothing(server: FakeServer, client: FlowStateClient) -> None:
    assert await client.state.session("s").atomic_state(lambda state: None) == StateWrite(0, False)
    assert [type(request) for request in server.state.seen] == [state_service_pb2.GetStateRequest]


async def test_too_many_lost_races(server: FakeServer, client: FlowStateClient) -> None:
    async def always(request: Any, context: Any) -> None:
        await refuse(context, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current="9")

    server.state.before_commit = always
    with pytest.raises(ConcurrentModificationError) as caught:
        await client.state.session("s").atomic_state(lambda state: {"a": 1})
    assert caught.value.attempts == FAST.cas_attempts == 8


async def test_an_error_in_the_change_is_raised_and_the_turn_passes(
    server: FakeServer, client: FlowStateClient
) -> None:
    def broken(state: Any) -> dict[str, Any]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await client.state.session("s").atomic_state(broken)
    await client.state.session("s").atomic_state(lambda state: {"a": 1})


async def test_a_batch_may_have_a_key_of_its_own(server: FakeServer, client: FlowStateClient) -> None:
    async with client.state.batch(idempotency_key="job-1") as several:
        several.user("u", flow_kind="chat").inc_state(credits=-1)
    async with client.state.session("s").batch(idempotency_key="job-2") as one:
        one.inc_state(count=1)
    await client.state.session("s").inc_state(count=1)
    first, second, third = (request.idempotency_key for request in server.state.seen[-3:])
    assert (first, second) == ("job-1", "job-2")
    assert third not in ("", "job-1", "job-2")


@pytest.mark.parametrize("character", ["a", "\N{GRINNING FACE}"])
def test_a_record_shows_the_beginning_of_its_state(character: str) -> None:
    def shown(text: str) -> str:
        state = types_pb2.Value(json=f'{{"text":"{text}"}}')
        return repr(StateRecord(state_service_pb2.StateRecord(exists=True, state=state), Chat, JsonCodec()))

    assert shown("hi") == 'StateRecord(exists=True, version=0, state={"text":"hi"})'
    assert shown(character * 1000).partition("state=")[2] == f'{{"text":"{character * 190}…)'


async def test_tests_in_a_batch_go_with_its_operations(server: FakeServer, client: FlowStateClient) -> None:
    async with client.state.batch() as batch:
        user = batch.user("u1").test_state("by/id", "a~b", equals={"x": 1})
        user.patch_state(a=1)
        user.test_state(exists=True).test_state("a", equals=None)
    (mutation,) = server.state.seen[-1].mutations
    assert [(op.path, op.WhichOneof("op")) for op in mutation.ops] == [
        ("/by~1id/a~0b", "test"),
        ("", "merge"),
        ("", "test"),
        ("/a", "test"),
    ]
    first, _, second, third = mutation.ops
    assert first.test.equals.json == '{"x":1}'
    assert (second.test.WhichOneof("expect"), second.test.exists) == ("exists", True)
    assert third.test.equals.json == "null"


def test_a_test_has_one_expectation(client: FlowStateClient) -> None:
    scope = client.state.batch().user("u1")
    for wrong in ({}, {"equals": 1, "exists": True}, {"equals": math.nan}):
        with pytest.raises(ValueError):
            scope.test_state("a", **wrong)
    assert not scope.mutation.ops


async def test_conditions_name_what_was_seen(server: FakeServer, client: FlowStateClient) -> None:
    def record(*, exists: bool) -> StateRecord[Any]:
        wire = state_service_pb2.StateRecord(exists=exists)
        wire.meta.version, wire.meta.incarnation = 7, "i"
        return StateRecord(wire, Any, JsonCodec())

    def condition(handle: Any) -> tuple[int, str]:
        return handle._precondition.version, handle._precondition.incarnation

    session = client.state.session("s")
    assert condition(session.at(7)) == (7, "")
    assert condition(session.at(record(exists=True))) == (7, "i")
    assert condition(session.at(record(exists=False))) == (7, "")
    assert condition(session.at(StateWrite(8, True, "j"))) == (8, "j")
    assert client.state.batch().session("s").at(record(exists=True)).mutation.precondition.incarnation == "i"
