"""A house furnished at a server, with something of everything: to be attacked, or to attack from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from flowstate.v1 import (
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.resource_service_pb2 import PutResourceRequest
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.testing.waiting import until
from tests.support import attack_resources
from tests.support.attack_calls import Call, keyed_calls, paged_calls, session, spec, state_texts
from tests.support.house import APART, KIND, House
from tests.support.raw_answers import Metadata, call_raw


@dataclass(frozen=True)
class Owner:
    """With whose credentials a house is furnished: ``writer`` on the trusted plane, ``reader`` for what others may."""

    channel: aio.Channel
    writer: Metadata
    reader: Metadata

    async def call(self, method: str, request: Message, *, reading: bool = False) -> Any:
        answer = await call_raw(self.channel, method, request, self.reader if reading else self.writer)
        assert answer.error is None, (method, request, answer.error)
        return answer.replies[0]


async def furnish(owner: Owner, house: House) -> House:
    """Sessions, requests that have ended and one that runs, items, state of every scope, and keys that are used."""
    for session_id in ("", house.session):
        new = sessions.CreateSessionRequest(session=session(house, session_id=session_id))
        await owner.call("SessionService/CreateSession", new)
    for one in (spec(house, house.ended), *([spec(house, house.bare, bare=True)] if house.bound else ())):
        await owner.call("FlowService/CallAction", flows.CallActionRequest(spec=one))
    held = spec(house, house.open)
    held.action = "hold"
    await owner.call("FlowService/DispatchAction", flows.DispatchActionRequest(spec=held))
    await _held(owner, house)
    for scope in _records(house):
        one = states.StateMutation(scope=scope, ops=[states.StateOp(set=state_texts(house))])
        written = await owner.call("StateService/CommitState", states.CommitStateRequest(mutations=[one]))
        if scope.user_id and not scope.isolated:
            house = replace(house, of_user=written.records[0].meta.incarnation)
    for scope in attack_resources.owners(house):
        put = PutResourceRequest(resource=attack_resources.resource(house, scope))
        paper = (await owner.call("ResourceService/PutResource", put)).resource
        if scope.session_id:
            house = replace(house, paper=paper.meta.incarnation)
        if scope.user_id and not scope.isolated:
            other = attack_resources.resource(house, scope, attack_resources.INSTANCE)
            await owner.call("ResourceService/PutResource", PutResourceRequest(resource=other))
    listed = await owner.call(
        "SessionService/ListItems",
        sessions.ListItemsRequest(session_id=house.session, request_id=house.ended),
        reading=True,
    )
    logs = []
    for request_id in (house.ended, house.open):
        get = flows.GetActionRequestRequest(request_id=request_id)
        got = await owner.call("FlowService/GetActionRequest", get, reading=True)
        logs.append(got.action_request.latest.log_id)
    seen = sessions.GetSnapshotRequest(session_id=house.session)
    snapshot = await owner.call("SessionService/GetSnapshot", seen, reading=True)
    mine = sessions.GetSessionRequest(session_id=house.session)
    kept = await owner.call("SessionService/GetSession", mine, reading=True)
    house = replace(
        house,
        item=listed.items[0].item_id,
        log=logs[0],
        open_log=logs[1],
        session_log=snapshot.cursor.log_id,
        incarnation=kept.session.meta.incarnation,
    )
    found = sessions.ResolveSessionRequest(session=session(house))
    await owner.call("SessionService/ResolveSession", found)
    house = await _used_keys(owner, house, list(keyed_calls(house)))
    tokens = {}
    for name, method, request in paged_calls(house):
        reading = not method.startswith("JournalService")
        page = await owner.call(method, request, reading=reading)
        assert page.next_page_token, (method, page)
        tokens[name] = page.next_page_token
    return replace(house, tokens=tokens)


async def _used_keys(owner: Owner, house: House, keyed: list[Call]) -> House:
    for _, method, request in keyed:
        answer = await owner.call(method, request)
        if method == "SessionService/AppendItems":
            house = replace(house, outside=answer.items[0].item_id)
        elif method == "JournalService/AppendJournal":
            house = replace(house, entry=answer.entries[0].entry_id)
    return house


async def _held(owner: Owner, house: House) -> None:
    """Until the open request has emitted its item, which is behind its state."""
    listing = sessions.ListItemsRequest(session_id=house.session, request_id=house.open)

    async def emitted() -> bool:
        return bool((await owner.call("SessionService/ListItems", listing, reading=True)).items)

    await until(emitted, every=0.001)


def _records(house: House) -> Iterator[ScopeRef]:
    yield ScopeRef(user_id=house.user, flow_kind=KIND)
    yield ScopeRef(org_id=house.org, flow_kind=KIND)
    yield ScopeRef(user_id=house.user, flow_kind=APART, isolated=True)
    yield ScopeRef(org_id=house.org, flow_kind=APART, isolated=True)
