"""No byte of what clients must not see reaches them, over any method that they may call."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from flowstate.v1 import (
    flow_service_pb2 as flows,
    journal_service_pb2 as journals,
    resource_service_pb2 as resources,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.errors import Reason
from flowstate_server.model.identity import Plane
from flowstate_server.rpc.methods import OWN_METHODS
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.stores.store import Store
from tests.security.vault import SCOPES, Vault
from tests.security.vault_calls import OWNER, Call, action_spec, client_calls, papers
from tests.support.canaries import Canaries
from tests.support.contract import METHODS
from tests.support.hosted import Hosted, hosted
from tests.support.raw_answers import Answer, Metadata, call_all, call_raw, new_request
from tests.support.wire import TRUSTED

GATEWAY: Metadata = (("x-tenant-id", "a"),)
STRANGERS: Mapping[str, Metadata] = {
    "another user": (("x-tenant-id", "a"), ("x-flowstate-user", "u2")),
    "another tenant": (("x-tenant-id", "b"), ("x-flowstate-user", "u3")),
    "the same name in another tenant": (("x-tenant-id", "b"), ("x-flowstate-user", "s1")),
    "no tenant": (("x-flowstate-user", "u4"),),
}
RUNS = ("fill", "told", "sync", "bad_output", "late", "strict")


@dataclass
class Filled:
    """A server on which every action of the vault has been run by its owner; ``answers`` are what that showed."""

    server: Hosted
    vault: Vault
    answers: list[Answer]

    @property
    def request_ids(self) -> list[str]:
        return [f"r-{name}" for name in self.vault.flow.actions]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "vault.db")


@asynccontextmanager
async def _filled(store: Store) -> AsyncIterator[Filled]:
    vault = Vault()
    async with hosted(vault.flow, store=store) as server:
        answers = []
        for action in vault.flow.actions:
            request = flows.StreamActionRequest(spec=action_spec(action))
            vault.waiting.clear()
            streaming = asyncio.ensure_future(
                call_raw(server.channel, "FlowService/StreamAction", request, OWNER)
            )
            if action == "wait":
                await vault.waiting.wait()
                cancel = flows.CancelActionRequestRequest(request_id="r-wait", reason="enough")
                answers.append(
                    await call_raw(server.channel, "FlowService/CancelActionRequest", cancel, OWNER)
                )
            answers.append(await streaming)
            assert answers[-1].code is grpc.StatusCode.OK
        put: list[Call] = [("ResourceService/PutResource", request) for request in papers(vault)]
        for answer in await call_all(server.channel, put, (*OWNER, *TRUSTED)):
            assert answer.error is None, answer.error
        yield Filled(server, vault, answers)


def _leaks(canaries: Canaries, answers: Iterable[Answer]) -> dict[str, set[str]]:
    """By method, the places whose canaries were in an answer."""
    leaks: dict[str, set[str]] = {}
    for answer in answers:
        if places := canaries.found(answer.text):
            leaks.setdefault(answer.method, set()).update(places)
    return leaks


def _check_statuses(answers: Iterable[Answer]) -> None:
    for answer in answers:
        if answer.error is not None:
            assert answer.refusal.reason is not Reason.INTERNAL, answer.error


async def test_the_owner_on_the_client_plane_gets_no_canary(store: Store) -> None:
    async with _filled(store) as filled:
        calls = client_calls(filled.request_ids, filled.vault.flow.actions)
        # All are called at once, and one of them changes what this shows.
        first: list[Call] = [("SessionService/GetSession", sessions.GetSessionRequest(session_id="s1"))]
        answers = [*filled.answers, *await call_all(filled.server.channel, first, OWNER)]
        answers += await call_all(filled.server.channel, calls, OWNER)
        answers += await call_all(filled.server.channel, calls, GATEWAY)
    _check_statuses(answers)
    assert _leaks(filled.vault.canaries, answers) == {}
    # That the search finds what is there: what is for clients did come.
    shown = set().union(*_leaks(filled.vault.private, answers).values())
    assert shown == filled.vault.private.places


async def test_every_method_that_clients_may_call_is_called(store: Store) -> None:
    async with hosted(Vault().flow, store=store) as server:
        info = await call_raw(server.channel, "ServerService/GetServerInfo")
    served = set(info.replies[0].capabilities) & set(METHODS)
    for_clients = {method for method in served if OWN_METHODS[method].plane is Plane.CLIENT}
    called = {method for method, _ in client_calls(["r1"], ["fill"])}
    assert called == for_clients, "a method is served that this file does not call, or the other way round"


async def test_methods_that_are_not_for_clients_or_not_served_say_nothing(store: Store) -> None:
    async with _filled(store) as filled:
        rest = [
            (method, _owned(new_request(method)))
            for method in METHODS
            if method not in dict(client_calls([], ["fill"])) and not method.startswith("EventService")
        ]
        rest = [call for call in rest if not call[0].startswith("FlowService/") or "List" in call[0]]
        answers = await call_all(filled.server.channel, rest, OWNER)
    assert len(rest) >= 10
    assert {answer.refusal.reason for answer in answers} == {Reason.ACCESS_DENIED}
    assert _leaks(filled.vault.canaries, answers) == _leaks(filled.vault.private, answers) == {}


def _owned(request: Message) -> Message:
    """Names the session wherever the message has a place for it."""
    if "session_id" in request.DESCRIPTOR.fields_by_name:
        request.session_id = "s1"  # type: ignore[attr-defined]
    return request


async def test_the_trusted_plane_shows_that_the_canaries_are_there(store: Store) -> None:
    """Otherwise a search that finds nothing would prove nothing."""
    async with _filled(store) as filled:
        calls = client_calls(filled.request_ids, [])
        scopes = [ScopeRef(session_id="s1"), ScopeRef(user_id="u1"), ScopeRef(org_id="o1")]
        calls += [
            ("StateService/GetState", states.GetStateRequest(scopes=scopes)),
            (
                "StateService/GetState",
                states.GetStateRequest(scopes=[ScopeRef(session_id="s1", flow_kind="vault")]),
            ),
        ]
        calls.append(("JournalService/ListJournal", journals.ListJournalRequest(session_id="s1")))
        for scope in (ScopeRef(session_id="s1"), ScopeRef(user_id="u1", flow_kind="vault")):
            listed = await call_raw(
                filled.server.channel,
                "ResourceService/ListResources",
                resources.ListResourcesRequest(scope=scope),
                (*OWNER, *TRUSTED),
            )
            for one in listed.replies[0].resources:
                read = resources.ReadContentRequest(scope=scope, name=one.name)
                calls.append(("ResourceService/ReadContent", read))
        answers = await call_all(filled.server.channel, calls, (*OWNER, *TRUSTED))
    _check_statuses(answers)
    found = set().union(*_leaks(filled.vault.canaries, answers).values())
    texts = {place for place in filled.vault.canaries.places if not _is_only_text(place)}
    assert texts <= found, texts - found


def _is_only_text(place: str) -> bool:
    """Whether the canary is in an exception or a refused value, which nobody is told at all."""
    words = ("exception", "refuse", "text", "cause", "group", "member", "no map", "into no map", "no JSON")
    return any(word in place for word in words) or place in ("cancelled by itself", "input of an inner block")


@pytest.mark.parametrize("who", STRANGERS)
async def test_others_get_nothing_at_all(store: Store, who: str) -> None:
    async with _filled(store) as filled:
        calls = client_calls(filled.request_ids, [])
        for request_id in ("r-fill", "r-nothing", "r-new", ""):
            spec = action_spec("nothing", request_id=request_id, user_id="", org_id="")
            calls += [
                ("FlowService/DispatchAction", flows.DispatchActionRequest(spec=spec)),
                ("FlowService/CallAction", flows.CallActionRequest(spec=spec)),
                ("FlowService/StreamAction", flows.StreamActionRequest(spec=spec)),
            ]
        answers = await call_all(filled.server.channel, calls, STRANGERS[who])
        trusted = await call_all(filled.server.channel, calls, (*STRANGERS[who], *TRUSTED))
        owner = await call_all(filled.server.channel, client_calls(["r-fill"], []), OWNER)
    described = [
        answer for answer in trusted if answer.method in ("FlowService/ListFlows", "FlowService/GetFlow")
    ]
    assert _leaks(filled.vault.canaries, described), "schemas belong to the server, not to a tenant"
    for told in (answers, [answer for answer in trusted if answer not in described]):
        _check_statuses(told)
        assert _leaks(filled.vault.canaries, told) == {}
        assert _leaks(filled.vault.private, told) == {}
    assert _leaks(filled.vault.private, owner), "and the owner still has it all"


async def test_a_refused_name_of_a_snapshot_does_not_tell_whether_the_field_exists(store: Store) -> None:
    """What is told is the same but for the name, which the caller has given."""
    async with _filled(store) as filled:

        async def told(name: str) -> list[bytes]:
            selector = sessions.SnapshotSelector(scope=2, names=[name])  # type: ignore[arg-type]
            request = sessions.GetSnapshotRequest(session_id="s1", selectors=[selector])
            got = await call_raw(filled.server.channel, "SessionService/GetSnapshot", request, OWNER)
            watch = sessions.WatchSnapshotRequest(session_id="s1", selectors=[selector])
            watched = await call_raw(filled.server.channel, "SessionService/WatchSnapshot", watch, OWNER)
            refusals = (answer.refusal.status.SerializeToString() for answer in (got, watched))
            return [refusal.replace(name.encode(), b"?") for refusal in refusals]

        for name in ("secret", "keyed", "no such field", f"f_{filled.vault.canaries('session field name')}"):
            assert len({*await told(name), *await told("x" * len(name))}) == 1


async def test_a_snapshot_shows_what_it_should_and_names_what_failed(store: Store) -> None:
    async with _filled(store) as filled:
        answer = await call_raw(
            filled.server.channel,
            "SessionService/GetSnapshot",
            sessions.GetSnapshotRequest(session_id="s1"),
            OWNER,
        )
    (snapshot,) = answer.replies
    assert len(snapshot.scopes) == len(SCOPES)
    for scope, name in zip(snapshot.scopes, SCOPES, strict=True):
        values = {key: json.loads(value.json) for key, value in scope.values.items()}
        assert values.pop("paper", None) in (None, {"shown": filled.vault.private(f"{name}_id paper shown")})
        assert values == {"shown": filled.vault.private(f"{name} shown"), "size": 24}
        assert sorted(scope.failures) == [
            "badly_told",
            "crash",
            "later",
            "missing",
            "no_json",
            "not_finite",
            "told",
        ]
        assert scope.failures["told"].message == "for clients"


async def test_errors_that_nobody_expected_tell_no_text(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every access to the store met a bug of ours."""
    canaries = Canaries()

    async def broken(*args: object, **options: object) -> None:
        raise RuntimeError(f"no such table: {canaries('text')}") from ValueError(canaries("cause"))

    reads = (
        *("get_session", "list_sessions", "count_sessions", "get_request", "load_states", "read_events"),
        *("read_projection", "list_items", "newest_turns", "list_requests"),
    )
    async with _filled(store) as filled:
        with monkeypatch.context() as patched:
            for name in (*reads, "commit"):
                patched.setattr(store, name, broken)
            calls = client_calls(filled.request_ids, ["fill"])
            answers = await call_all(filled.server.channel, calls, OWNER)
    internal = [answer for answer in answers if answer.code is grpc.StatusCode.INTERNAL]
    assert len({answer.method for answer in internal}) >= 10
    assert all(answer.refusal.metadata["error_id"].startswith("err_") for answer in internal)
    assert canaries.places == {"text", "cause"}
    assert _leaks(canaries, answers) == {}


def test_canaries_are_found_however_they_are_written() -> None:
    canaries = Canaries()
    word = canaries("place")
    for prefix in ("", "x", "xy", "xyz"):
        for text in (word, word.upper(), word[5:17], f'{{"k": "{word}"}}'):
            data = (prefix + text).encode()
            for form in (
                data,
                base64.b64encode(data),
                base64.urlsafe_b64encode(data).rstrip(b"="),
                data.hex().encode(),
                data.decode().encode("utf-16-le"),
                "".join(f"\\u{ord(letter):04x}" for letter in data.decode()).encode(),
            ):
                assert canaries.found(b"before " + form + b" behind") == {"place"}, form
    assert canaries.found(b"nothing here") == set()
    assert canaries.found(word[:9].encode()) == set()
    assert canaries.found(canaries("other").encode()) == {"other"}
