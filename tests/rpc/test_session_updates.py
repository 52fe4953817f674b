"""UpdateSession and ResolveSession: what they answer, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from flowstate.v1 import flow_service_pb2 as flows, session_service_pb2 as pb
from flowstate.v1.types_pb2 import Precondition, Value
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import refused

BOB = (("x-flowstate-user", "bob"),)


def change(*paths: str, key: str = "", precondition: Precondition | None = None, **fields: Any) -> Any:
    session = pb.Session(**{"session_id": "s", **fields})
    return pb.UpdateSessionRequest(
        session=session,
        update_mask=FieldMask(paths=paths),
        idempotency_key=key,
        precondition=precondition,
    )


async def create(server: Served, **fields: Any) -> pb.Session:
    session = pb.Session(**{"flow_kind": "talk", "user_id": "u1", "session_id": "s", **fields})
    return (await server.sessions.CreateSession(pb.CreateSessionRequest(session=session))).session


async def test_only_what_the_mask_names_is_changed() -> None:
    async with served() as server:
        await create(server, title="T", description="D", tags=["a"], metadata=Value(json='{"n":1}'))
        updated = await server.sessions.UpdateSession(
            change("title", "metadata", title="New", description="ignored", tags=["ignored"])
        )
        session = updated.session
        assert (session.title, session.description, list(session.tags)) == ("New", "D", ["a"])
        assert (session.metadata.json, session.meta.version) == ("{}", 2)
        assert session.last_activity_time == session.meta.update_time
        assert not updated.replayed
        same = await server.sessions.UpdateSession(change("title", title="New"))
        assert same.session == session
        cleared = (await server.sessions.UpdateSession(change("description", "tags"))).session
        assert (cleared.title, cleared.description, list(cleared.tags)) == ("New", "", [])
        read = (await server.sessions.GetSession(pb.GetSessionRequest(session_id="s"))).session
        assert read == cleared


async def test_an_update_touches_no_state() -> None:
    async with served() as server:
        await server.flows.CallAction(flows.CallActionRequest(spec=spec(session_id="s")))
        before = await server.sessions.GetSnapshot(pb.GetSnapshotRequest(session_id="s"))
        await server.sessions.UpdateSession(change("title", title="T"))
        after = await server.sessions.GetSnapshot(pb.GetSnapshotRequest(session_id="s"))
        assert after.scopes == before.scopes
        assert after.cursor.sequence == before.cursor.sequence + 1


async def test_a_repeat_answers_with_what_was_done() -> None:
    async with served() as server:
        await create(server)
        request = change("title", title="T", key="k", precondition=Precondition(version=1))
        first = await server.sessions.UpdateSession(request)
        again = await server.sessions.UpdateSession(request)
        assert (first.replayed, again.replayed) == (False, True)
        assert (again.session.session_id, again.session.meta.version, again.session.title) == ("s", 2, "")
        reused = await refused(server.sessions.UpdateSession(change("title", title="other", key="k")))
        assert reused.reason is Reason.IDEMPOTENCY_KEY_REUSED
        assert not (await server.sessions.UpdateSession(change("title", title="T2"))).replayed


@pytest.mark.parametrize(
    ("precondition", "holds"),
    [
        (Precondition(version=1), True),
        (Precondition(version=0), False),
        (Precondition(version=2), False),
        (Precondition(exists=True), True),
        (Precondition(exists=False), False),
        (Precondition(), True),
    ],
)
async def test_preconditions(precondition: Precondition, holds: bool) -> None:
    async with served() as server:
        await create(server)
        call = server.sessions.UpdateSession(change("title", title="T", precondition=precondition))
        if holds:
            assert (await call).session.meta.version == 2
            return
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata["current"]) == (Reason.VERSION_MISMATCH, "1")
        read = await server.sessions.GetSession(pb.GetSessionRequest(session_id="s"))
        assert read.session.title == ""


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.UpdateSessionRequest(update_mask=FieldMask(paths=["title"])), "session"),
        (pb.UpdateSessionRequest(session=pb.Session(session_id="s")), "update_mask"),
        (change("title", session_id=""), "session.session_id"),
        (change("title", "state"), "update_mask.paths[1]"),
        (change("user_id"), "update_mask.paths[0]"),
        (change("metadata.a"), "update_mask.paths[0]"),
        (change("*"), "update_mask.paths[0]"),
        (change("title", title="x" * 2000), "session.title"),
        (change("tags", tags=["a", "b\x00"]), "session.tags[1]"),
        (change("metadata", metadata=Value(json="[]")), "session.metadata"),
        (change("metadata", metadata=Value(json="{")), "session.metadata"),
        (change("metadata", metadata=Value(json='{"a":[1e999]}')), "session.metadata/a/0"),
        (change("title", precondition=Precondition(version=-1)), "precondition.version"),
        (change("title", key="k" * 129), "idempotency_key"),
    ],
)
async def test_an_update_that_is_not_valid_names_the_field(request_: Any, path: str) -> None:
    async with served() as server:
        await create(server)
        assert (await refused(server.sessions.UpdateSession(request_))).fields == [path]
        read = await server.sessions.GetSession(pb.GetSessionRequest(session_id="s"))
        assert read.session.meta.version == 1


async def test_a_session_of_somebody_else_is_not_updated() -> None:
    async with served() as server:
        await create(server)
        for identity in (BOB, (("x-tenant-id", "t"),)):
            call = server.sessions.UpdateSession(change("title", title="x"), metadata=identity)
            assert (await refused(call)).reason is Reason.SESSION_NOT_FOUND


async def test_resolve_tells_whether_it_has_made_the_session() -> None:
    wanted = pb.Session(flow_kind="talk", user_id="u1", title="T", metadata=Value(json='{ "a" : 1 }'))
    async with served() as server:
        first = await server.sessions.ResolveSession(pb.ResolveSessionRequest(session=wanted))
        wanted.metadata.json, wanted.title = '{"a":1}', "other"
        again = await server.sessions.ResolveSession(pb.ResolveSessionRequest(session=wanted))
        assert (first.created, again.created) == (True, False)
        assert first.session.session_id.startswith("sess_")
        assert again.session == first.session
        wanted.ClearField("metadata")
        unset = await server.sessions.ResolveSession(pb.ResolveSessionRequest(session=wanted))
        wanted.metadata.json = "{}"
        empty = await server.sessions.ResolveSession(pb.ResolveSessionRequest(session=wanted))
        assert unset.session.session_id == empty.session.session_id != first.session.session_id
        for identity in (BOB, (("x-tenant-id", "t"),)):
            own = pb.Session(flow_kind="talk", user_id="bob", metadata=Value(json='{"a":1}'))
            if identity is not BOB:
                own.user_id = "u1"
            request = pb.ResolveSessionRequest(session=own)
            assert (await server.sessions.ResolveSession(request, metadata=identity)).created


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"session_id": "s"}, "session.session_id"),
        ({"user_id": ""}, "session.user_id"),
        ({"flow_kind": ""}, "session.flow_kind"),
        ({"metadata": Value(json="[]")}, "session.metadata"),
        ({"tags": ["\n"]}, "session.tags[0]"),
    ],
)
async def test_a_resolve_that_is_not_valid_names_the_field(fields: dict[str, Any], path: str) -> None:
    async with served() as server:
        session = pb.Session(**{"flow_kind": "talk", "user_id": "u1", **fields})
        request = pb.ResolveSessionRequest(session=session)
        assert (await refused(server.sessions.ResolveSession(request))).fields == [path]
        no_session = await refused(server.sessions.ResolveSession(pb.ResolveSessionRequest()))
        assert no_session.fields == ["session"]
        unknown = pb.ResolveSessionRequest(session=pb.Session(flow_kind="none", user_id="u1"))
        assert (await refused(server.sessions.ResolveSession(unknown))).reason is Reason.FLOW_NOT_FOUND
