"""A session is its user's, in its tenant, org and flow; whoever else comes learns nothing and leaves no trace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from flowstate.v1.session_service_pb2 import CreateSessionRequest, ListSessionsRequest, Session
from flowstate.v1.state_service_pb2 import GetStateRequest
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_client import FlowStateClient
from flowstate_server.errors import Reason
from flowstate_server.testing.fixtures import StartServer
from tests.support.contract import METHODS, UNSERVED_METHODS
from tests.support.database_contents import database_contents
from tests.support.every_call import Calling, action_calls, request_calls, session_calls
from tests.support.flows import app
from tests.support.raw_calls import TRUSTED, Metadata, Stubs, increment, org, outcome, stubs_of, user
from tests.support.runs import holding
from tests.support.wire import refused

SESSION, REQUEST = "of ada", "request of ada"

ADA: Metadata = (*TRUSTED, ("x-flowstate-user", "ada"))
EVE: Metadata = (*TRUSTED, ("x-flowstate-user", "eve"))
ELSEWHERE: Metadata = (*ADA, ("x-tenant-id", "t2"))
INTRUDERS = {"another user": EVE, "another tenant": ELSEWHERE}

SESSION_CALLS = tuple(session_calls(None, ""))  # type: ignore[arg-type]  # only the names
REQUEST_CALLS = tuple(request_calls(None, ""))  # type: ignore[arg-type]
ACTION_CALLS = tuple(action_calls(None))  # type: ignore[arg-type]


@dataclass
class House:
    """A server on a SQLite file that Ada can move into: a session in the org ``acme`` with a running request."""

    stubs: Stubs
    ada: FlowStateClient
    path: Path

    async def move_in(self) -> None:
        await holding(self.ada, session_id=SESSION, request_id=REQUEST, org_id="acme")

    async def refused(self, call: Calling, caller: Metadata) -> Reason:
        """The reason of the refusal, which must leave no trace."""
        before = database_contents(self.path)
        refusal = await refused(call(caller))
        assert database_contents(self.path) == before
        return refusal.reason


@pytest.fixture
async def house(start_server: StartServer, tmp_path: Path) -> AsyncIterator[House]:
    path = tmp_path / "flowstate.db"
    server = await start_server(app, store=f"sqlite:///{path}")
    async with stubs_of(server.target) as stubs, server.connect(user="ada") as ada:
        yield House(stubs, ada, path)


def test_every_served_method_is_tried_here() -> None:
    names = {name.partition(" ")[0] for name in (*SESSION_CALLS, *REQUEST_CALLS, *ACTION_CALLS)}
    apart = {f"SessionService/{name}" for name in ("CreateSession", "ListSessions", "ResolveSession")}
    apart.add("StateService/DeleteState")  # of a user or an org
    # Of the resources, which no flow here has: tests/security/test_attack_walk.py.
    apart |= {name for name in METHODS if name.startswith("ResourceService/")}
    of_nobody = {"FlowService/ListFlows", "FlowService/GetFlow", "ServerService/GetServerInfo"}
    served = set(METHODS) - UNSERVED_METHODS
    assert names | apart | of_nobody == served


async def _bytes_of(call: Calling, caller: Metadata) -> tuple[Any, ...]:
    """All that a refused caller gets."""
    with pytest.raises(aio.AioRpcError) as raised:
        await call((*caller, ("x-correlation-id", "c")))
    error = raised.value
    return error.code(), error.details(), error.initial_metadata(), error.trailing_metadata()


@pytest.mark.parametrize("intruder", INTRUDERS)
@pytest.mark.parametrize("method", [*SESSION_CALLS, *REQUEST_CALLS])
async def test_what_belongs_to_others_has_never_existed(house: House, method: str, intruder: str) -> None:
    calls = {**session_calls(house.stubs, SESSION), **request_calls(house.stubs, REQUEST)}
    never = await _bytes_of(calls[method], INTRUDERS[intruder])
    await house.move_in()
    before = database_contents(house.path)
    assert await _bytes_of(calls[method], INTRUDERS[intruder]) == never
    assert database_contents(house.path) == before
    reason = await house.refused(calls[method], INTRUDERS[intruder])
    assert reason in (Reason.SESSION_NOT_FOUND, Reason.REQUEST_NOT_FOUND)


@pytest.mark.parametrize("method", [*SESSION_CALLS, *REQUEST_CALLS])
async def test_the_owner_is_let_in(house: House, method: str) -> None:
    """Else the tests beside this one would prove nothing."""
    await house.move_in()
    calls = {**session_calls(house.stubs, SESSION), **request_calls(house.stubs, REQUEST)}
    assert await calls[method](ADA)


@pytest.mark.parametrize("method", ACTION_CALLS)
async def test_an_action_in_another_users_session_is_refused(house: House, method: str) -> None:
    await house.move_in()
    in_session = action_calls(house.stubs, session_id=SESSION)[method]
    assert await house.refused(in_session, EVE) is Reason.SESSION_NOT_FOUND
    claimed = action_calls(house.stubs, session_id=SESSION, user_id="eve")[method]
    assert await house.refused(claimed, TRUSTED) is Reason.SESSION_NOT_FOUND
    taken = action_calls(house.stubs, request_id=REQUEST)[method]
    assert await house.refused(taken, EVE) is Reason.REQUEST_ALREADY_EXISTS


@pytest.mark.parametrize("method", ACTION_CALLS)
async def test_the_same_ids_in_another_tenant_are_other_ids(house: House, method: str) -> None:
    await house.move_in()
    same = action_calls(house.stubs, session_id=SESSION, request_id=REQUEST)[method]
    await same(ELSEWHERE)
    snapshot = session_calls(house.stubs, SESSION)["SessionService/GetSnapshot"]
    (mine,) = [scope for scope in (await snapshot(ADA)).scopes if "double" in scope.values]
    assert mine.values["count"].json == "0"


@pytest.mark.parametrize("method", ACTION_CALLS)
async def test_credentials_bind_what_a_message_may_claim(house: House, method: str) -> None:
    as_ada = action_calls(house.stubs, session_id="new", user_id="ada")[method]
    assert await house.refused(as_ada, EVE) is Reason.ACCESS_DENIED
    in_acme = action_calls(house.stubs, session_id="new", user_id="ada", org_id="acme")[method]
    caller = (*ADA, ("x-flowstate-org", "other"))
    assert await house.refused(in_acme, caller) is Reason.ACCESS_DENIED
    nobody = action_calls(house.stubs, session_id="new")[method]
    assert await house.refused(nobody, TRUSTED) is Reason.VALIDATION_FAILED


@pytest.mark.parametrize("method", ACTION_CALLS)
async def test_the_owner_in_another_org_or_flow_is_told_so(house: House, method: str) -> None:
    await house.move_in()
    await house.ada.sessions.create("ledger", session_id="private of ada")

    async def reason(**spec: Any) -> Reason:
        return await house.refused(action_calls(house.stubs, **spec)[method], ADA)

    assert await reason(session_id=SESSION, org_id="other") is Reason.ORG_BINDING_MISMATCH
    assert await reason(session_id="private of ada", org_id="acme") is Reason.ORG_BINDING_MISMATCH
    assert await reason(session_id=SESSION, flow_kind="other") is Reason.FLOW_BINDING_MISMATCH
    stranger = action_calls(house.stubs, session_id=SESSION, flow_kind="other", org_id="other")[method]
    assert await house.refused(stranger, EVE) is Reason.SESSION_NOT_FOUND


@pytest.mark.parametrize("method", SESSION_CALLS)
async def test_the_owner_with_credentials_of_another_org_is_told_so(house: House, method: str) -> None:
    await house.move_in()
    call = session_calls(house.stubs, SESSION)[method]
    assert await house.refused(call, (*ADA, ("x-flowstate-org", "other"))) is Reason.ORG_BINDING_MISMATCH
    assert await call((*ADA, ("x-flowstate-org", "acme")))


@pytest.mark.parametrize("method", REQUEST_CALLS)
async def test_a_request_of_another_org_is_not_shown_to_its_owner(house: House, method: str) -> None:
    await house.move_in()
    call = request_calls(house.stubs, REQUEST)[method]
    reason = await house.refused(call, (*ADA, ("x-flowstate-org", "other")))
    assert reason in (Reason.REQUEST_NOT_FOUND, Reason.ORG_BINDING_MISMATCH, Reason.ACCESS_DENIED)
    assert await call((*ADA, ("x-flowstate-org", "acme")))


@pytest.mark.parametrize("method", [name for name in SESSION_CALLS if name.startswith("State")])
async def test_a_sessions_state_is_its_own_flows(house: House, method: str) -> None:
    await house.move_in()
    call = session_calls(house.stubs, SESSION, flow_kind="other")[method]
    assert await house.refused(call, ADA) is Reason.FLOW_BINDING_MISMATCH
    assert await house.refused(call, EVE) is Reason.SESSION_NOT_FOUND


@pytest.mark.parametrize(
    ("scope", "caller"), [(user("ada"), EVE), (org("acme"), (*ADA, ("x-flowstate-org", "other")))]
)
async def test_records_of_others_are_denied(house: House, scope: ScopeRef, caller: Metadata) -> None:
    def commit(metadata: Metadata) -> Any:
        return house.stubs.commit(increment(scope), metadata=metadata)

    def read(metadata: Metadata) -> Any:
        return house.stubs.states.GetState(GetStateRequest(scopes=[scope]), metadata=metadata)

    assert await house.refused(commit, caller) is Reason.ACCESS_DENIED
    assert await house.refused(read, caller) is Reason.ACCESS_DENIED
    message = (await refused(read(caller))).message
    assert "than the caller's token or connection does" in message
    assert outcome(await commit(ADA)) == [(1, True)]


async def test_a_taken_session_id_is_not_made_again(house: House) -> None:
    """The one place where an id shows that it is taken, inside its tenant."""
    await house.move_in()

    def create(metadata: Metadata) -> Any:
        session = Session(session_id=SESSION, flow_kind="ledger")
        return house.stubs.sessions.CreateSession(CreateSessionRequest(session=session), metadata=metadata)

    for caller in (ADA, EVE):
        assert await house.refused(create, caller) is Reason.SESSION_ALREADY_EXISTS
    assert (await create(ELSEWHERE)).session.session_id == SESSION


async def test_lists_show_ones_own(house: House) -> None:
    await house.move_in()

    async def listed(caller: Metadata, user_id: str = "") -> list[str]:
        request = ListSessionsRequest(user_id=user_id, include_ephemeral=True)
        answer = await house.stubs.sessions.ListSessions(request, metadata=caller)
        return [session.session_id for session in answer.sessions]

    assert await listed(ADA) == await listed(TRUSTED) == await listed(TRUSTED, "ada") == [SESSION]
    assert await listed(EVE) == await listed(ELSEWHERE) == await listed(TRUSTED, "eve") == []
    refusal = await refused(listed(EVE, "ada"))
    assert refusal.reason is Reason.ACCESS_DENIED
