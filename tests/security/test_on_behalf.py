"""Writes on behalf of a request stay within what is the request's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from flowstate.v1 import event_service_pb2 as events, flow_service_pb2 as flows, state_service_pb2 as states
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.errors import Reason
from flowstate_server.model.scopes import ScopeKind
from tests.support.resource_flow import KIND, Desk, desk, desk_server, increment, mutation, value
from tests.support.wire import TRUSTED, Refusal, refused

ISOLATED = "isolated"
OWN = ScopeRef(session_id="s1")
RESOURCES = {"session_id": "draft", "user_id": "cards/a", "org_id": "charter"}
FOREIGN = (
    ScopeRef(session_id="bobs"),
    ScopeRef(session_id="another"),
    ScopeRef(user_id="bob", flow_kind=KIND),
    ScopeRef(user_id="ada", flow_kind=ISOLATED),
    ScopeRef(user_id="ada", flow_kind=KIND, isolated=True),
    ScopeRef(org_id="other", flow_kind=KIND),
)
SHARED = (ScopeRef(user_id="ada", flow_kind=KIND), ScopeRef(org_id="acme", flow_kind=KIND))


async def _holds(input: Any, ctx: Any) -> Any:
    await asyncio.sleep(3600)


@pytest.fixture
async def server() -> AsyncIterator[Desk]:
    """Ada's request ``r1`` runs in her session ``s1``, ``r2`` of an isolated flow in ``own``."""
    isolated = desk({"hold": _holds}, kind=ISOLATED, isolated=frozenset({ScopeKind.USER}))
    async with desk_server(desk({"hold": _holds}), isolated) as server:
        await server.session(org="acme")
        await server.session("another")
        await server.session("bobs", "bob")
        for kind, session, request in ((KIND, "s1", "r1"), (KIND, "another", "r3"), (ISOLATED, "own", "r2")):
            await server.flows.DispatchAction(
                flows.DispatchActionRequest(
                    spec=flows.ActionSpec(
                        flow_kind=kind,
                        action="hold",
                        session_id=session,
                        user_id="ada",
                        request_id=request,
                        input=value(None),
                    )
                )
            )
        yield server


def _resource(scope: ScopeRef) -> str:
    return RESOURCES[scope.WhichOneof("owner") or ""]


def _nothing() -> states.StateOp:
    return states.StateOp(path="", merge=states.MergeOp(value=value({})))


async def _change(server: Desk, scope: ScopeRef, request: str) -> None:
    own = mutation(OWN, "", increment("/count"))
    other = states.StateMutation(scope=scope, ops=[_nothing()])
    await server.commit(own, other, request_id=request)


async def _change_resource(server: Desk, scope: ScopeRef, request: str) -> None:
    own, name = mutation(OWN, "", increment("/count")), _resource(scope)
    op = states.StateOp(path="/" + ("title" if name == "draft" else "tag"), set=value("x"))
    await server.commit(own, mutation(scope, name, op), request_id=request)


async def _put(server: Desk, scope: ScopeRef, request: str) -> None:
    await server.put(scope, _resource(scope), content=b"x", request_id=request)


async def _write(server: Desk, scope: ScopeRef, request: str) -> None:
    await server.write(scope, _resource(scope), 0, b"x", finish=True, request_id=request)


async def _delete(server: Desk, scope: ScopeRef, request: str) -> None:
    await server.delete(scope, _resource(scope), request_id=request)


Writing = Callable[[Desk, ScopeRef, str], Awaitable[None]]
WRITES: dict[Writing, str] = {
    _change: "mutations[1].scope",
    _change_resource: "mutations[1].scope",
    _put: "resource.scope",
    _write: "scope",
    _delete: "scope",
}


async def _versions(server: Desk, *scopes: ScopeRef) -> list[tuple[int, list[str]]]:
    got = await server.states.GetState(states.GetStateRequest(scopes=scopes), metadata=TRUSTED)
    names = [await server.names(scope) for scope in scopes]
    return [(one.meta.version, some) for one, some in zip(got.records, names, strict=True)]


async def _log(server: Desk, session: str) -> list[str]:
    request = events.ListEventsRequest(session_id=session, page_size=500)
    listed = await server.events.ListEvents(request, metadata=TRUSTED)
    return [event.type for event in listed.events]


@pytest.mark.parametrize("scope", FOREIGN, ids=lambda one: " ".join(str(one).split()))
@pytest.mark.parametrize("write", WRITES, ids=lambda one: one.__name__)
async def test_no_write_on_behalf_of_a_request_reaches_what_is_not_its_own(
    server: Desk, write: Writing, scope: ScopeRef
) -> None:
    if write is _delete:
        await server.put(scope, _resource(scope), {})
    before = await _versions(server, OWN, scope), await _log(server, "s1")
    refusal: Refusal = await refused(write(server, scope, "r1"))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", Reason.VALIDATION_FAILED)
    assert refusal.fields == [WRITES[write]]
    if write in (_change, _change_resource):
        owner = getattr(scope, scope.WhichOneof("owner") or "")
        kind = (scope.WhichOneof("owner") or "").removesuffix("_id")
        told = {name: refusal.metadata.get(name) for name in ("mutation", "scope", "owner")}
        assert told == {"mutation": "1", "scope": kind, "owner": owner}
    assert (await _versions(server, OWN, scope), await _log(server, "s1")) == before


@pytest.mark.parametrize("scope", SHARED, ids=lambda one: " ".join(str(one).split()))
@pytest.mark.parametrize("write", WRITES, ids=lambda one: one.__name__)
async def test_a_write_on_behalf_of_a_request_reaches_the_records_that_it_works_on(
    server: Desk, write: Writing, scope: ScopeRef
) -> None:
    if write is _delete:
        await server.put(scope, _resource(scope), {})
    before = await _log(server, "s1")
    await write(server, scope, "r1")
    added = (await _log(server, "s1"))[len(before) :]
    told = {"state_change"} if write is _change else {"resource_change"}
    assert told <= set(added)


async def test_an_isolated_request_reaches_the_record_of_its_flow_and_not_the_shared_one(
    server: Desk,
) -> None:
    await _put(server, ScopeRef(user_id="ada", flow_kind=ISOLATED), "r2")
    await _put(server, ScopeRef(session_id="own"), "r2")
    refusal = await refused(_put(server, ScopeRef(user_id="ada", flow_kind=KIND), "r2"))
    assert (refusal.reason, refusal.fields) == (Reason.VALIDATION_FAILED, ["resource.scope"])


async def test_the_state_of_a_request_is_written_on_behalf_of_no_other(server: Desk) -> None:
    def change(request: str) -> states.StateMutation:
        return states.StateMutation(scope=ScopeRef(request_id=request), ops=[_nothing()])

    await server.commit(change("r1"), request_id="r1")
    refusal = await refused(server.commit(change("r3"), request_id="r1"))
    assert (refusal.reason, refusal.fields) == (Reason.VALIDATION_FAILED, ["mutations[0].scope"])
