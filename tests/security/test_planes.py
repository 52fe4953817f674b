"""Who may call what: planes and credentials, on every method of the contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from flowstate.v1 import (
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.types_pb2 import Value
from flowstate_server.errors import Reason
from flowstate_server.flows import ClientView, Context, Session
from flowstate_server.model.identity import Plane
from flowstate_server.rpc import methods
from flowstate_server.settings import ServerSettings
from tests.support.contract import METHODS, UNSERVED_METHODS
from tests.support.hosted import Hosted, hosted, play, play_spec
from tests.support.raw_answers import Metadata, call_raw
from tests.support.wire import TRUSTED
from tests.tails.test_visibility import Chat

TOKENS: Mapping[str, Mapping[str, str]] = {
    "u1": {"tenant": "a", "user": "u1"},
    "u2": {"tenant": "a", "user": "u2"},
    "gateway": {"tenant": "a"},
    "trusted": {"tenant": "a", "plane": "trusted"},
    "trusted-u1": {"tenant": "a", "user": "u1", "plane": "trusted"},
    "other": {"tenant": "b", "user": "u1"},
    "other-trusted": {"tenant": "b", "plane": "trusted"},
    "org-1": {"tenant": "a", "org": "o1"},
    "org-2": {"tenant": "a", "org": "o2"},
    "org-2-trusted": {"tenant": "a", "org": "o2", "plane": "trusted"},
}
HEALTH = "grpc.health.v1.Health/Check"
REFLECTION = tuple(
    f"grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")
)
EVERYWHERE = (*METHODS, *REFLECTION)


def token(name: str, *more: tuple[str, str]) -> Metadata:
    return (("authorization", f"Bearer secret-{name}"), *more)


@pytest.fixture
def options(tmp_path: Path) -> ServerSettings:
    path = tmp_path / "tokens.json"
    entries = [{"name": name, "token": f"secret-{name}", **bound} for name, bound in TOKENS.items()]
    path.write_text(json.dumps({"tokens": entries}))
    return ServerSettings(tokens=path, reflection=True)


async def _body(ctx: Context) -> None:
    await ctx.session.patch_state(count=1)


FLOW: Any = play(_body, session=Session(state=Chat, client=ClientView(expose=["count"])))


@asynccontextmanager
async def _served(options: ServerSettings | None = None) -> AsyncIterator[Hosted]:
    async with hosted(FLOW, options=options or ServerSettings(reflection=True)) as server:
        yield server


async def _reason(server: Hosted, method: str, metadata: Metadata, request: Any = b"") -> Reason | None:
    """Why the call is refused; ``None`` where it is not."""
    answer = await call_raw(server.channel, method, request, metadata)
    return None if answer.error is None else answer.refusal.reason


def test_the_table_has_every_method() -> None:
    assert {name for name in methods.METHODS if not methods.is_probe(name)} == set(EVERYWHERE)


@pytest.mark.parametrize("plane", Plane)
@pytest.mark.parametrize("authenticator", ["open", "tokens"])
async def test_each_method_needs_its_plane(authenticator: str, plane: Plane, options: ServerSettings) -> None:
    if authenticator == "open":
        metadata: Metadata = () if plane is Plane.CLIENT else TRUSTED
    else:
        metadata = token("gateway" if plane is Plane.CLIENT else "trusted")
    async with _served(options if authenticator == "tokens" else None) as server:
        refused = {method: await _reason(server, method, metadata) for method in EVERYWHERE}
    for method, reason in refused.items():
        if methods.METHODS[method].plane is Plane.TRUSTED and plane is Plane.CLIENT:
            assert reason is Reason.ACCESS_DENIED, method
        elif method in UNSERVED_METHODS:
            assert reason is Reason.FEATURE_DISABLED, method
        else:
            assert reason not in (Reason.ACCESS_DENIED, Reason.FEATURE_DISABLED, Reason.INTERNAL), method


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("authorization", "Bearer "),),
        (("authorization", "secret-u1"),),
        (("authorization", "Basic secret-u1"),),
        (("authorization", "Bearer secret-u1 and more"),),
        (("authorization", "Bearer secret-u"),),
        (("x-flowstate-plane", "trusted"), ("x-flowstate-user", "u1")),
    ],
)
async def test_no_method_without_credentials_but_health(metadata: Metadata, options: ServerSettings) -> None:
    async with _served(options) as server:
        for method in EVERYWHERE:
            assert await _reason(server, method, metadata) is Reason.CREDENTIALS_INVALID, method
        assert await _reason(server, HEALTH, metadata) is None


@pytest.mark.parametrize(
    ("name", "claim", "reason"),
    [
        ("u1", ("x-tenant-id", "b"), Reason.ACCESS_DENIED),
        ("u1", ("x-flowstate-user", "u2"), Reason.ACCESS_DENIED),
        ("u1", ("x-flowstate-org", "o1"), Reason.ACCESS_DENIED),
        ("u1", ("x-flowstate-plane", "trusted"), Reason.ACCESS_DENIED),
        ("trusted", ("x-flowstate-plane", "client"), Reason.ACCESS_DENIED),
        ("org-1", ("x-flowstate-org", "o2"), Reason.ACCESS_DENIED),
        ("u1", ("x-tenant-id", ""), Reason.METADATA_INVALID),
        ("u1", ("authorization", "Bearer secret-trusted"), Reason.METADATA_INVALID),
    ],
)
async def test_no_method_with_claims_beyond_the_credentials(
    name: str, claim: tuple[str, str], reason: Reason, options: ServerSettings
) -> None:
    async with _served(options) as server:
        for method in EVERYWHERE:
            assert await _reason(server, method, token(name, claim)) is reason, method


async def test_claims_that_are_true_change_nothing(options: ServerSettings) -> None:
    claims = (("x-tenant-id", "a"), ("x-flowstate-user", "u1"), ("x-flowstate-plane", "client"))
    async with _served(options) as server:
        for method in ("ServerService/GetServerInfo", "FlowService/ListFlows"):
            assert await _reason(server, method, token("u1", *claims)) is None


def _claiming(user: str, org: str = "") -> list[tuple[str, Any]]:
    spec = play_spec("", user_id=user, org_id=org)
    return [
        ("FlowService/DispatchAction", flows.DispatchActionRequest(spec=spec)),
        ("FlowService/CallAction", flows.CallActionRequest(spec=spec)),
        ("FlowService/StreamAction", flows.StreamActionRequest(spec=spec)),
        (
            "SessionService/CreateSession",
            sessions.CreateSessionRequest(
                session=sessions.Session(flow_kind="play", user_id=user, org_id=org)
            ),
        ),
        (
            "SessionService/ResolveSession",
            sessions.ResolveSessionRequest(
                session=sessions.Session(flow_kind="play", user_id=user, org_id=org)
            ),
        ),
    ]


@pytest.mark.parametrize("bound", ["open", "tokens"])
async def test_a_message_may_not_claim_another_user(bound: str, options: ServerSettings) -> None:
    metadata = token("u1") if bound == "tokens" else (("x-flowstate-user", "u1"),)
    async with _served(options if bound == "tokens" else None) as server:
        for method, request in _claiming("u2"):
            assert await _reason(server, method, metadata, request) is Reason.ACCESS_DENIED, method
        listing = sessions.ListSessionsRequest(user_id="u2")
        assert await _reason(server, "SessionService/ListSessions", metadata, listing) is Reason.ACCESS_DENIED
        for method, request in _claiming("u1") + _claiming(""):
            assert await _reason(server, method, metadata, request) is None, method
        state = states.GetStateRequest(scopes=[{"user_id": "u2"}])  # type: ignore[list-item]
        trusted = token("trusted-u1") if bound == "tokens" else (*metadata, *TRUSTED)
        assert await _reason(server, "StateService/GetState", trusted, state) is Reason.ACCESS_DENIED
        listed = await call_raw(server.channel, "SessionService/ListSessions", listing, token("gateway"))
        assert bound == "open" or listed.replies[0].sessions == []


async def test_a_message_may_not_claim_another_org(options: ServerSettings) -> None:
    async with _served(options) as server:
        for method, request in _claiming("u1", "o2"):
            assert await _reason(server, method, token("org-1"), request) is Reason.ACCESS_DENIED, method
        for method, request in _claiming("u1", "o1") + _claiming("u1"):
            assert await _reason(server, method, token("org-1"), request) is None, method


async def test_a_gateway_has_to_say_for_whom(options: ServerSettings) -> None:
    async with _served(options) as server:
        for method, request in _claiming(""):
            answer = await call_raw(server.channel, method, request, token("gateway"))
            assert answer.refusal.reason is Reason.VALIDATION_FAILED
            assert answer.refusal.fields[0].endswith("user_id")


def _reading(session_id: str, request_id: str) -> list[tuple[str, Any]]:
    from flowstate.v1 import event_service_pb2 as events

    return [
        ("FlowService/GetActionRequest", flows.GetActionRequestRequest(request_id=request_id)),
        ("FlowService/WaitActionRequest", flows.WaitActionRequestRequest(request_id=request_id)),
        ("FlowService/CancelActionRequest", flows.CancelActionRequestRequest(request_id=request_id)),
        ("EventService/ListEvents", events.ListEventsRequest(request_id=request_id)),
        ("EventService/TailEvents", events.TailEventsRequest(request_id=request_id)),
        ("EventService/ListEvents", events.ListEventsRequest(session_id=session_id)),
        ("EventService/TailEvents", events.TailEventsRequest(session_id=session_id, replay_only=True)),
        ("SessionService/GetSession", sessions.GetSessionRequest(session_id=session_id)),
        (
            "SessionService/UpdateSession",
            sessions.UpdateSessionRequest(
                session=sessions.Session(session_id=session_id, title="seen"),
                update_mask={"paths": ["title"]},  # type: ignore[arg-type]
            ),
        ),
        ("SessionService/GetSnapshot", sessions.GetSnapshotRequest(session_id=session_id)),
        ("SessionService/ListItems", sessions.ListItemsRequest(session_id=session_id)),
        (
            "SessionService/ListItems",
            sessions.ListItemsRequest(session_id=session_id, request_id=request_id),
        ),
        ("FlowService/ListActionRequests", flows.ListActionRequestsRequest(session_id=session_id)),
        ("SessionService/WatchSnapshot", sessions.WatchSnapshotRequest(session_id=session_id)),
    ]


async def _owned(server: Hosted, metadata: Metadata, **fields: str) -> None:
    call = flows.CallActionRequest(spec=play_spec("r1", session_id="s1", **fields))
    assert await _reason(server, "FlowService/CallAction", metadata, call) is None


@pytest.mark.parametrize("who", ["u2", "other", "other-trusted"])
async def test_what_belongs_to_others_is_answered_like_what_never_was(
    who: str, options: ServerSettings
) -> None:
    async with _served(options) as server:
        await _owned(server, token("u1"))
        for (method, there), (_, never) in zip(_reading("s1", "r1"), _reading("s9", "r9"), strict=True):
            told = await call_raw(server.channel, method, there, token(who))
            likewise = await call_raw(server.channel, method, never, token(who))
            assert told.refusal.code is grpc.StatusCode.NOT_FOUND, method
            raw = told.refusal.status.SerializeToString()
            expected = likewise.refusal.status.SerializeToString()
            assert raw.replace(b"s1", b"s9").replace(b"r1", b"r9") == expected, method
            assert await _reason(server, method, token("u1"), there) is None, method
            assert await _reason(server, method, token("gateway"), there) is None, method
        for method, request in _claiming(""):
            if method.startswith("FlowService/") and who == "u2":
                request.spec.session_id = "s1"
                assert await _reason(server, method, token(who), request) is Reason.SESSION_NOT_FOUND


@pytest.mark.parametrize("owner_org", ["o1", ""])
@pytest.mark.parametrize("who", ["org-2", "org-2-trusted"])
async def test_a5_what_belongs_to_another_org_is_answered_like_what_never_was(
    who: str, owner_org: str, options: ServerSettings
) -> None:
    async with _served(options) as server:
        await _owned(server, token("gateway"), user_id="u1", org_id=owner_org)
        for (method, there), (_, never) in zip(_reading("s1", "r1"), _reading("s9", "r9"), strict=True):
            told = await call_raw(server.channel, method, there, token(who))
            likewise = await call_raw(server.channel, method, never, token(who))
            assert told.refusal.code is grpc.StatusCode.NOT_FOUND, method
            raw = told.refusal.status.SerializeToString()
            expected = likewise.refusal.status.SerializeToString()
            assert raw.replace(b"s1", b"s9").replace(b"r1", b"r9") == expected, method
        for method, request in _claiming("u1"):
            if method.startswith("FlowService/"):
                request.spec.session_id = "s1"
                assert await _reason(server, method, token(who), request) is Reason.SESSION_NOT_FOUND, method
        same = flows.DispatchActionRequest(spec=play_spec("r1", session_id="", user_id="u1"))
        reason = await _reason(server, "FlowService/DispatchAction", token(who), same)
        assert reason is Reason.REQUEST_ALREADY_EXISTS


@pytest.mark.parametrize("who", ["org-2", "org-2-trusted"])
async def test_credentials_of_an_org_are_good_for_that_org_only(who: str, options: ServerSettings) -> None:
    async with _served(options) as server:
        await _owned(server, token("org-1"), user_id="u1")
        for method, request in _reading("s1", "r1"):
            reason = await _reason(server, method, token(who), request)
            assert reason in (Reason.SESSION_NOT_FOUND, Reason.REQUEST_NOT_FOUND), method
            assert await _reason(server, method, token("org-1"), request) is None, method
        repeated = flows.DispatchActionRequest(spec=play_spec("r2", user_id="u1"))
        assert await _reason(server, "FlowService/DispatchAction", token("org-1"), repeated) is None
        reason = await _reason(server, "FlowService/DispatchAction", token(who), repeated)
        assert reason is Reason.REQUEST_ALREADY_EXISTS, "it was attached to the request of another org"
        listed = await call_raw(
            server.channel, "SessionService/ListSessions", sessions.ListSessionsRequest(), token(who)
        )
        assert listed.replies[0].sessions == []
        if who == "org-2-trusted":
            for scope in ({"session_id": "s1"}, {"request_id": "r1"}, {"org_id": "o1"}):
                state = states.GetStateRequest(scopes=[scope])  # type: ignore[list-item]
                reason = await _reason(server, "StateService/GetState", token(who), state)
                assert reason in (
                    Reason.SESSION_NOT_FOUND,
                    Reason.REQUEST_NOT_FOUND,
                    Reason.ACCESS_DENIED,
                )


@pytest.mark.parametrize("who", ["org-2", "org-2-trusted"])
async def test_a_key_of_another_org_tells_no_more_than_that_it_is_taken(
    who: str, options: ServerSettings
) -> None:
    """The metadata of a session of another org can't be resolved or taken, and its id is not told."""
    metadata = Value(json='{"ticker": "X"}')
    wanted = sessions.Session(flow_kind="play", user_id="u1", metadata=metadata)
    resolve = sessions.ResolveSessionRequest(session=wanted)
    async with _served(options) as server:
        made = await call_raw(server.channel, "SessionService/ResolveSession", resolve, token("org-1"))
        told = await call_raw(server.channel, "SessionService/ResolveSession", resolve, token(who))
        assert told.refusal.reason is Reason.ORG_BINDING_MISMATCH
        resolve.session.metadata.json = "{}"
        own = await call_raw(server.channel, "SessionService/ResolveSession", resolve, token(who))
        update = sessions.UpdateSessionRequest(
            session=sessions.Session(session_id=own.replies[0].session.session_id, metadata=metadata),
            update_mask={"paths": ["metadata"]},  # type: ignore[arg-type]
        )
        taken = await call_raw(server.channel, "SessionService/UpdateSession", update, token(who))
        assert taken.refusal.reason is Reason.SESSION_ALREADY_EXISTS
        for answer in (told, taken):
            raw = answer.refusal.status.SerializeToString()
            assert made.replies[0].session.session_id.encode() not in raw
