"""Tenants do not meet, and pages belong to whom they were made for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate_server.errors import Reason
from flowstate_server.flows import ClientView, Context, Session, User
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.stores.store import Store
from tests.support.hosted import Hosted, hosted, play, play_spec
from tests.support.raw_answers import Metadata, call_raw
from tests.support.wire import TRUSTED
from tests.tails.test_visibility import Chat

TENANTS = ("a", "b", "A", "a.b", "")
"""The last is the space without a tenant."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "tenants.db")


def of(tenant: str, *more: tuple[str, str]) -> Metadata:
    return (*((("x-tenant-id", tenant),) if tenant else ()), *more)


async def _body(ctx: Context) -> str:
    tenant = ctx.session.identity.tenant
    await ctx.session.set_state_record("by_id", f"tenant {tenant}", 1)
    await ctx.user.inc_state(count=1)
    await ctx.session.set_metadata(title=f"of {tenant}")
    await ctx.add_item("message", f"for {tenant}")
    return f"for {tenant}"


FLOW: Any = play(
    _body,
    session=Session(state=Chat, client=ClientView(expose=["by_id"])),
    user=User(state=Chat, client=ClientView(expose=["count"])),
)


async def _reply(server: Hosted, method: str, request: Any, metadata: Metadata) -> Any:
    answer = await call_raw(server.channel, method, request, metadata)
    assert answer.error is None, answer.error
    return answer.replies[0]


async def test_the_same_ids_in_every_tenant(store: Store) -> None:
    async with hosted(FLOW, store=store) as server:
        for tenant in TENANTS:
            call = flows.CallActionRequest(spec=play_spec("r1", session_id="s1"))
            ran = await _reply(server, "FlowService/CallAction", call, of(tenant))
            assert not ran.attached
            assert json.loads(ran.action_request.output.json) == f"for {tenant}"
            new = sessions.CreateSessionRequest(
                session=sessions.Session(flow_kind="play", user_id="u1", session_id="s2"), idempotency_key="k"
            )
            created = await _reply(server, "SessionService/CreateSession", new, of(tenant))
            assert not created.replayed
        for tenant in TENANTS:
            await _check_one(server, tenant)


async def _check_one(server: Hosted, tenant: str) -> None:
    request = flows.GetActionRequestRequest(request_id="r1")
    got = await _reply(server, "FlowService/GetActionRequest", request, of(tenant))
    assert json.loads(got.action_request.output.json) == f"for {tenant}"
    page = await _reply(
        server, "EventService/ListEvents", events.ListEventsRequest(request_id="r1"), of(tenant)
    )
    assert json.loads(page.events[-1].request_completed.output.json) == f"for {tenant}"
    session = await _reply(
        server, "SessionService/GetSession", sessions.GetSessionRequest(session_id="s1"), of(tenant)
    )
    assert session.session.title == f"of {tenant}"
    listed = await _reply(server, "SessionService/ListSessions", sessions.ListSessionsRequest(), of(tenant))
    assert sorted(one.session_id for one in listed.sessions) == ["s1", "s2"]
    items = await _reply(
        server, "SessionService/ListItems", sessions.ListItemsRequest(session_id="s1"), of(tenant)
    )
    assert [json.loads(item.content.json)["parts"][0]["text"] for item in items.items] == [f"for {tenant}"]
    every = flows.ListActionRequestsRequest(with_payloads=True)
    ran = await _reply(server, "FlowService/ListActionRequests", every, of(tenant))
    assert [json.loads(one.output.json) for one in ran.action_requests] == [f"for {tenant}"]
    log = await _reply(
        server, "EventService/ListEvents", events.ListEventsRequest(session_id="s1"), of(tenant)
    )
    assert log.events == page.events
    snapshot = await _reply(
        server, "SessionService/GetSnapshot", sessions.GetSnapshotRequest(session_id="s1"), of(tenant)
    )
    own, user = snapshot.scopes
    assert json.loads(own.values["by_id"].json) == {f"tenant {tenant}": 1}
    assert json.loads(user.values["count"].json) == len(TENANTS), (
        "users are shared between tenants, on purpose"
    )
    watching = await call_raw(
        server.channel,
        "SessionService/WatchSnapshot",
        sessions.WatchSnapshotRequest(session_id="s1"),
        of(tenant),
    )
    assert watching.replies[1].snapshot.scopes == snapshot.scopes
    scope = states.GetStateRequest(scopes=[{"session_id": "s1"}])  # type: ignore[list-item]
    state = await _reply(server, "StateService/GetState", scope, of(tenant, *TRUSTED))
    assert json.loads(state.records[0].state.json)["by_id"] == {f"tenant {tenant}": 1}


async def _tokens(server: Hosted) -> tuple[str, str]:
    """A token of sessions and one of flows, both of the user u1 of the tenant a."""
    caller = of("a", ("x-flowstate-user", "u1"))
    for number in range(3):
        new = sessions.CreateSessionRequest(
            session=sessions.Session(flow_kind="play", session_id=f"s{number}")
        )
        await _reply(server, "SessionService/CreateSession", new, caller)
    listing = sessions.ListSessionsRequest(flow_kind="play", page_size=1)
    first = await _reply(server, "SessionService/ListSessions", listing, caller)
    listing.page_token = first.next_page_token
    second = await _reply(server, "SessionService/ListSessions", listing, caller)
    assert [one.session_id for one in (*first.sessions, *second.sessions)] == ["s2", "s1"]
    kinds = await _reply(server, "FlowService/ListFlows", flows.ListFlowsRequest(page_size=1), caller)
    assert first.next_page_token
    assert kinds.next_page_token
    return first.next_page_token, kinds.next_page_token


async def test_page_tokens_are_good_for_their_own_list_only(store: Store) -> None:
    more: Any = play(_body, kind="more", user=User(state=Chat))
    mine = of("a", ("x-flowstate-user", "u1"))
    async with hosted(FLOW, more, store=store) as server:
        of_sessions, of_flows = await _tokens(server)
        right: dict[str, Any] = {"flow_kind": "play", "page_token": of_sessions}
        for metadata, fields in (
            (mine, {**right, "flow_kind": ""}),
            (mine, {**right, "flow_kind": "more"}),
            (mine, {**right, "include_ephemeral": True}),
            (mine, {**right, "page_token": of_flows}),
            (of("b", ("x-flowstate-user", "u1")), right),
            (of("", ("x-flowstate-user", "u1")), right),
            (of("a", ("x-flowstate-user", "u2")), right),
            (of("a"), right),
            (of("a", ("x-flowstate-user", "u1"), ("x-flowstate-org", "o1")), right),
        ):
            listing = sessions.ListSessionsRequest(**fields)
            await _refuse(server, "SessionService/ListSessions", listing, metadata)
        again = await _reply(
            server,
            "SessionService/ListSessions",
            sessions.ListSessionsRequest(**right),
            mine,
        )
        assert [one.session_id for one in again.sessions] == ["s1", "s0"]
        for metadata, token in ((mine, of_sessions), (of("b"), of_flows), (of(""), of_flows)):
            await _refuse(server, "FlowService/ListFlows", flows.ListFlowsRequest(page_token=token), metadata)


async def test_page_tokens_that_were_edited_are_refused(store: Store) -> None:
    more: Any = play(_body, kind="more", user=User(state=Chat))
    mine = of("a", ("x-flowstate-user", "u1"))
    async with hosted(FLOW, more, store=store) as server:
        of_sessions, of_flows = await _tokens(server)
        for edited in _edited(of_sessions):
            listing = sessions.ListSessionsRequest(flow_kind="play", page_token=edited)
            await _refuse(server, "SessionService/ListSessions", listing, mine)
        for edited in _edited(of_flows):
            await _refuse(server, "FlowService/ListFlows", flows.ListFlowsRequest(page_token=edited), mine)


def _edited(token: str) -> list[str]:
    edited = [
        token[:position] + ("A" if letter != "A" else "B") + token[position + 1 :]
        for position, letter in enumerate(token)
    ]
    edited += [
        token[:-1],
        token[1:],
        token + "A",
        token + "=",
        token + "\n",
        "!" + token,
        token[:9] + " " + token[9:],
    ]
    edited += ["x", "é", "=", token * 2, token.swapcase(), token + token[:4]]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    edited.append(base64.urlsafe_b64encode(raw[:16] + b'[0,"z"]').decode().rstrip("="))
    edited.append(base64.urlsafe_b64encode(b'[0,"z"]').decode().rstrip("="))
    return [one for one in edited if one != token]


async def _refuse(server: Hosted, method: str, request: Any, metadata: Metadata) -> None:
    answer = await call_raw(server.channel, method, request, metadata)
    assert answer.error is not None, request
    assert answer.refusal.reason is Reason.PAGE_TOKEN_INVALID
    assert answer.refusal.fields == ["page_token"]
