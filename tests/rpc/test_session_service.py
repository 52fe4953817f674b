from __future__ import annotations

import pytest

from flowstate.v1 import flow_service_pb2 as flows, session_service_pb2 as pb
from flowstate.v1.types_pb2 import (
    SCOPE_KIND_ORG,
    SCOPE_KIND_REQUEST,
    SCOPE_KIND_SESSION,
    SCOPE_KIND_USER,
    Value,
)
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import TRUSTED, refused


def _new(**fields: object) -> pb.CreateSessionRequest:
    session = pb.Session(**{"flow_kind": "talk", "user_id": "u1", **fields})  # type: ignore[arg-type]
    return pb.CreateSessionRequest(session=session)


async def _create(server: Served, **fields: object) -> pb.Session:
    return (await server.sessions.CreateSession(_new(**fields))).session


async def test_create_and_get() -> None:
    async with served() as server:
        created = await _create(
            server, org_id="o1", title="T", description="D", tags=["a"], metadata=Value(json='{"n":1.0}')
        )
        read = (await server.sessions.GetSession(pb.GetSessionRequest(session_id=created.session_id))).session
    assert created.session_id.startswith("sess_")
    assert (created.title, created.description, list(created.tags)) == ("T", "D", ["a"])
    assert created.metadata.json == '{"n":1.0}'
    assert created.meta.version == 1
    assert created.meta.incarnation
    assert not created.ephemeral
    assert read == created


async def test_repeats_by_key_and_by_id() -> None:
    async with served() as server:
        request = _new(title="T")
        request.idempotency_key = "k"
        first = await server.sessions.CreateSession(request)
        again = await server.sessions.CreateSession(request)
        request.session.title = "other"
        reused = await refused(server.sessions.CreateSession(request))
        await _create(server, session_id="mine")
        taken = await refused(_create(server, session_id="mine"))
    assert again.replayed
    assert again.session.session_id == first.session.session_id
    assert again.session.meta.version == 1
    assert not again.session.title
    assert reused.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert taken.metadata == {"session_id": "mine"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"flow_kind": ""}, "session.flow_kind"),
        ({"user_id": ""}, "session.user_id"),
        ({"session_id": "a\n"}, "session.session_id"),
        ({"metadata": Value(json="[]")}, "session.metadata"),
        ({"metadata": Value(json="{")}, "session.metadata"),
        ({"metadata": Value(json='{"a":1e999}')}, "session.metadata/a"),
        ({"tags": ["a", "b\x00"]}, "session.tags[1]"),
        ({"title": "x" * 10_000}, "session.title"),
    ],
)
async def test_a_session_that_is_not_valid_names_the_field(fields: dict[str, object], path: str) -> None:
    async with served() as server:
        assert (await refused(_create(server, **fields))).fields == [path]


async def test_requests_without_their_message() -> None:
    async with served() as server:
        assert (await refused(server.sessions.CreateSession(pb.CreateSessionRequest()))).fields == ["session"]
        no_id = await refused(server.sessions.GetSession(pb.GetSessionRequest()))
        assert no_id.fields == ["session_id"]
        long_key = _new()
        long_key.idempotency_key = "k" * 129
        assert (await refused(server.sessions.CreateSession(long_key))).fields == ["idempotency_key"]


async def test_lists_in_pages() -> None:
    async with served() as server:
        ids = [(await _create(server)).session_id for _ in range(5)]
        await _create(server, user_id="u2")
        await server.flows.CallAction(flows.CallActionRequest(spec=spec()))
        found: list[str] = []
        token = ""
        while True:
            page = await server.sessions.ListSessions(
                pb.ListSessionsRequest(user_id="u1", page_size=2, page_token=token)
            )
            found += [session.session_id for session in page.sessions]
            token = page.next_page_token
            if not token:
                break
        everything = await server.sessions.ListSessions(pb.ListSessionsRequest(include_ephemeral=True))
        bad = await refused(server.sessions.ListSessions(pb.ListSessionsRequest(page_token="x")))
        negative = await refused(server.sessions.ListSessions(pb.ListSessionsRequest(page_size=-1)))
    assert found == ids[::-1]
    assert len(everything.sessions) == 7
    assert bad.reason is Reason.PAGE_TOKEN_INVALID
    assert negative.fields == ["page_size"]


async def test_a_session_of_somebody_else_does_not_exist() -> None:
    async with served() as server:
        await _create(server, session_id="s1")
        for metadata in ((("x-tenant-id", "b"),), (("x-flowstate-user", "u2"),)):
            read = server.sessions.GetSession(pb.GetSessionRequest(session_id="s1"), metadata=metadata)
            snapshot = server.sessions.GetSnapshot(pb.GetSnapshotRequest(session_id="s1"), metadata=metadata)
            for call in (read, snapshot):
                assert (await refused(call)).reason is Reason.SESSION_NOT_FOUND


async def test_a_snapshot_shows_what_the_flow_shows() -> None:
    async with served() as server:
        await server.flows.CallAction(flows.CallActionRequest(spec=spec(session_id="s1")))
        snapshot = await server.sessions.GetSnapshot(pb.GetSnapshotRequest(session_id="s1"))
        selectors = [pb.SnapshotSelector(scope=SCOPE_KIND_SESSION, names=["double"])]
        part = await server.sessions.GetSnapshot(pb.GetSnapshotRequest(session_id="s1", selectors=selectors))
    session, user = snapshot.scopes
    assert (session.scope, session.version) == (SCOPE_KIND_SESSION, 1)
    assert {name: value.json for name, value in session.values.items()} == {"count": "1", "double": "2"}
    assert (user.scope, user.version, user.values["likes"].json) == (SCOPE_KIND_USER, 0, "[]")
    assert snapshot.cursor.sequence > 0
    assert [dict(scope.values).keys() for scope in part.scopes] == [{"double"}]


@pytest.mark.parametrize(
    ("selectors", "path"),
    [
        ([pb.SnapshotSelector()], "selectors[0].scope"),
        ([pb.SnapshotSelector(scope=SCOPE_KIND_REQUEST)], "selectors[0].scope"),
        ([pb.SnapshotSelector(scope=SCOPE_KIND_USER)] * 2, "selectors[1].scope"),
        ([pb.SnapshotSelector(scope=SCOPE_KIND_SESSION, names=["count", "secret"])], "selectors[0].names[1]"),
        ([pb.SnapshotSelector(scope=SCOPE_KIND_ORG, names=["x"])], "selectors[0].names[0]"),
    ],
)
async def test_selectors_that_are_refused(selectors: list[pb.SnapshotSelector], path: str) -> None:
    async with served() as server:
        await _create(server, session_id="s1")
        request = pb.GetSnapshotRequest(session_id="s1", selectors=selectors)
        refusal = await refused(server.sessions.GetSnapshot(request))
    assert refusal.fields == [path]
    if ".names[" in path:
        assert refusal.message.endswith(f'"{selectors[-1].names[-1]}" is not shown to clients')


async def test_a_refusal_that_may_name_no_session_is_a_sentence_without_one() -> None:
    async with served() as server:

        async def resolve(org: str) -> None:
            session = pb.Session(flow_kind="talk", user_id="u1", org_id=org, metadata=Value(json='{"n":1}'))
            await server.sessions.ResolveSession(pb.ResolveSessionRequest(session=session), metadata=TRUSTED)

        await resolve("o1")
        refusal = await refused(resolve("o2"))
    assert (refusal.reason, refusal.metadata["session_id"]) == (Reason.ORG_BINDING_MISMATCH, "")
    assert refusal.message == "The session is bound to another org."
