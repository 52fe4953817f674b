"""ResourceService: what each method answers, what it refuses, and what clients see."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from flowstate.v1 import flow_service_pb2 as flows, resource_service_pb2 as pb, server_service_pb2 as servers
from flowstate.v1.state_service_pb2 import StateOp
from flowstate.v1.types_pb2 import SCOPE_KIND_SESSION, Precondition, ScopeRef
from flowstate_server.errors import Reason
from tests.support.resource_flow import KIND, MOST_FILES, Desk, desk_server, increment, mutation, read, value
from tests.support.wire import CANARY, TRUSTED, read_refusal, refused

MIB = 1024 * 1024
SESSION = ScopeRef(session_id="s1")
USER = ScopeRef(user_id="ada", flow_kind=KIND)
CLIENT = ()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_server() as server:
        await server.session()
        yield server


async def test_a_resource_is_read_as_it_was_put(desk: Desk) -> None:
    made = await desk.put(SESSION, "draft", {"title": "One", "words": 3}, b"text", media_type="text/markdown")
    assert made.changed
    assert not made.replayed
    for got in (made.resource, await desk.get(SESSION, "draft")):
        assert (got.name, got.meta.version, got.media_type) == ("draft", 1, "text/markdown")
        assert read(got.state) == {"title": "One", "words": 3}
        assert (got.content_size, got.content_sha256) == (4, hashlib.sha256(b"text").hexdigest())
        assert got.meta.incarnation
        assert got.meta.create_time == got.meta.update_time
    assert made.resource.content == b""
    assert (await desk.get(SESSION, "draft")).content == b"text"
    assert await desk.content(SESSION, "draft") == b"text"


async def test_defaults_show(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {})
    assert read((await desk.get(SESSION, "draft")).state) == {"title": "untitled", "words": 0}


async def test_what_is_not_named_stays(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {"words": 1}, b"one", media_type="text/plain")
    second = await desk.put(SESSION, "draft", {"words": 2})
    assert (second.resource.content_size, second.resource.media_type) == (3, "text/plain")
    third = await desk.put(SESSION, "draft", content=b"three")
    assert read(third.resource.state)["words"] == 2
    cleared = await desk.put(SESSION, "draft", update_mask={"paths": ["content", "state"]})
    assert (cleared.resource.content_size, cleared.resource.content_sha256) == (0, "")
    assert read(cleared.resource.state)["words"] == 0
    assert cleared.resource.media_type == "text/plain"
    assert cleared.resource.meta.version == 4
    assert await desk.content(SESSION, "draft") == b""


async def test_what_changes_nothing_makes_no_version(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {"words": 1}, b"one")
    for terms in ({"state": {"words": 1}}, {"content": b"one"}, {}):
        again = await desk.put(SESSION, "draft", **terms)
        assert (again.changed, again.resource.meta.version) == (False, 1)
    assert await desk.content(SESSION, "draft") == b"one"


async def test_a_put_can_be_repeated(desk: Desk) -> None:
    first = await desk.put(SESSION, "draft", {"words": 1}, idempotency_key="k")
    again = await desk.put(SESSION, "draft", {"words": 1}, idempotency_key="k")
    assert again.replayed
    assert (again.changed, again.resource.name, again.resource.meta.version) == (True, "draft", 1)
    assert first.resource.meta.version == 1
    other = await refused(desk.put(SESSION, "draft", {"words": 2}, idempotency_key="k"))
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED


@pytest.mark.parametrize(
    ("name", "terms", "code", "reason", "field"),
    [
        ("", {}, "INVALID_ARGUMENT", Reason.VALIDATION_FAILED, "resource.name"),
        ("a\u0000b", {}, "INVALID_ARGUMENT", Reason.VALIDATION_FAILED, "resource.name"),
        ("ü" * 257, {}, "INVALID_ARGUMENT", Reason.VALIDATION_FAILED, "resource.name"),
        (
            "draft",
            {"update_mask": {"paths": ["name"]}},
            "INVALID_ARGUMENT",
            Reason.VALIDATION_FAILED,
            "update_mask.paths[0]",
        ),
        ("draft", {"state": [1]}, "INVALID_ARGUMENT", Reason.VALIDATION_FAILED, "resource.state"),
        ("draft", {"state": {"words": CANARY}}, "INVALID_ARGUMENT", Reason.SCHEMA_VIOLATION, "/words"),
        ("draft", {"state": {"nowhere": CANARY}}, "INVALID_ARGUMENT", Reason.SCHEMA_VIOLATION, "/nowhere"),
        ("draft", {"media_type": "a\n"}, "INVALID_ARGUMENT", Reason.VALIDATION_FAILED, "resource.media_type"),
        ("undeclared", {}, "NOT_FOUND", Reason.RESOURCE_NOT_FOUND, ""),
        ("files/a/b", {}, "NOT_FOUND", Reason.RESOURCE_NOT_FOUND, ""),
        ("files/", {}, "NOT_FOUND", Reason.RESOURCE_NOT_FOUND, ""),
        ("draft", {"content": bytes(MIB + 1)}, "RESOURCE_EXHAUSTED", Reason.MESSAGE_TOO_LARGE, ""),
        ("draft", {"state": {"title": "x" * MIB}}, "RESOURCE_EXHAUSTED", Reason.STATE_TOO_LARGE, ""),
        ("draft", {"request_id": "none"}, "NOT_FOUND", Reason.REQUEST_NOT_FOUND, ""),
        ("draft", {"precondition": {"version": 1}}, "ABORTED", Reason.VERSION_MISMATCH, ""),
        ("draft", {"precondition": {"incarnation": "x"}}, "FAILED_PRECONDITION", Reason.RESOURCE_DELETED, ""),
    ],
)
async def test_puts_are_refused(
    desk: Desk, name: str, terms: dict[str, Any], code: str, reason: Reason, field: str
) -> None:
    refusal = await refused(desk.put(SESSION, name, **terms))
    assert (refusal.code.name, refusal.reason) == (code, reason)
    if field:
        assert refusal.fields[0] == field
    assert await desk.names(SESSION) == []


async def test_a_state_that_is_too_large_is_told_with_the_resource_that_it_is_of(desk: Desk) -> None:
    told = (await refused(desk.put(SESSION, "draft", {"title": "x" * MIB}))).message
    assert told.startswith('The state of the session resource "draft" would have ')


async def test_a_trusted_caller_is_told_what_is_declared(desk: Desk) -> None:
    said = 'No session resource drafft: flow desk declares no such resource; did you mean "draft"?'
    for call in (
        desk.put(SESSION, "drafft", {}),
        desk.write(SESSION, "drafft", 0, b"x"),
        desk.commit(mutation(SESSION, "drafft", increment("/words"))),
        desk.get(SESSION, "drafft"),
        desk.content(SESSION, "drafft"),
        desk.delete(SESSION, "drafft"),
    ):
        refusal = await refused(call)
        assert refusal.reason is Reason.RESOURCE_NOT_FOUND
        assert refusal.message.endswith(said)
        assert (refusal.metadata["scope"], refusal.metadata["name"]) == ("session", "drafft")
    listed = (await refused(desk.put(SESSION, "zzzz", {}))).message
    assert listed.startswith(
        'No session resource zzzz: flow desk declares no such resource; there are "draft", '
    )
    shared = await refused(desk.put(ScopeRef(user_id="ada"), "zzzz", {}))
    assert shared.message.endswith(': flow desk declares no such resource; there are "cards/*", "profile".')
    assert (await refused(desk.get(SESSION, "draft"))).message == "No session resource draft."


async def test_a_client_is_told_the_same_of_what_is_hidden_and_of_what_nobody_declares(desk: Desk) -> None:
    await desk.put(SESSION, "plan", {})
    for name in ("plan", "plam", "nothing"):
        for call in (desk.get, desk.content):
            told = (await refused(call(SESSION, name, metadata=CLIENT))).message
            assert told == f"No session resource {name}."


async def test_existing_ones_are_not_created(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {})
    refusal = await refused(desk.put(SESSION, "draft", {}, precondition=Precondition(exists=False)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, Reason.RESOURCE_ALREADY_EXISTS)
    assert refusal.metadata == {"scope": "session", "name": "draft"}


async def test_deleted_ones_are_not_brought_back(desk: Desk) -> None:
    old = (await desk.put(SESSION, "draft", {"words": 1}, b"old")).resource.meta
    await desk.delete(SESSION, "draft")
    assert (await refused(desk.get(SESSION, "draft"))).reason is Reason.RESOURCE_NOT_FOUND
    assert (await refused(desk.delete(SESSION, "draft"))).reason is Reason.RESOURCE_NOT_FOUND
    await desk.delete(SESSION, "draft", allow_missing=True)
    late = Precondition(version=1, incarnation=old.incarnation)
    assert (
        await refused(desk.put(SESSION, "draft", {}, precondition=late))
    ).reason is Reason.RESOURCE_DELETED
    new = (await desk.put(SESSION, "draft", {})).resource.meta
    assert new.version == old.version + 2
    assert new.incarnation != old.incarnation
    for terms in ({}, {"allow_missing": True}):
        refusal = await refused(desk.delete(SESSION, "draft", precondition=late, **terms))
        assert refusal.reason is Reason.RESOURCE_DELETED
    await desk.delete(SESSION, "draft", precondition=Precondition(version=new.version))


async def test_collections_drop_their_oldest_or_refuse_more(desk: Desk) -> None:
    for number in range(MOST_FILES + 2):
        await desk.put(SESSION, f"files/{9 - number}", {"tag": str(number)}, b"%d" % number)
    assert await desk.names(SESSION, "files/") == ["files/5", "files/6", "files/7"]
    for number in range(2):
        await desk.put(SESSION, f"limited/{number}", {})
    refusal = await refused(desk.put(SESSION, "limited/2", {}))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.TOO_MANY_RESOURCES)
    assert refusal.metadata == {"scope": "session", "limit": "2"}
    await desk.put(SESSION, "limited/1", {"tag": "still written"})
    gone = [one.name for one in await desk.changes(TRUSTED) if one.deleted]
    assert gone == ["files/9", "files/8"]


async def test_many_make_room_in_one_collection_at_once(desk: Desk) -> None:
    await asyncio.gather(*(desk.put(SESSION, f"files/{n}", {"tag": str(n)}) for n in range(20)))
    assert len(await desk.names(SESSION, "files/")) == MOST_FILES


async def test_lists_are_pages_by_name(desk: Desk) -> None:
    names = [f"notes/{n:02}" for n in range(7)] + ["notes/00/deep", "draft"]
    for name in names:
        await desk.put(SESSION, name, {})
    assert await desk.names(SESSION) == sorted(names)
    assert await desk.names(SESSION, size=2) == sorted(names)
    assert await desk.names(SESSION, "notes/0", size=3) == sorted(
        name for name in names if name.startswith("notes/0")
    )
    request = pb.ListResourcesRequest(scope=SESSION, page_size=2)
    token = (await desk.resources.ListResources(request, metadata=TRUSTED)).next_page_token
    for other in (
        pb.ListResourcesRequest(scope=SESSION, page_token=token, name_prefix="n"),
        pb.ListResourcesRequest(scope=USER, page_token=token),
        pb.ListResourcesRequest(scope=SESSION, page_token=token[:-2]),
    ):
        refusal = await refused(desk.resources.ListResources(other, metadata=TRUSTED))
        assert refusal.reason is Reason.PAGE_TOKEN_INVALID
    refusal = await refused(
        desk.resources.ListResources(
            pb.ListResourcesRequest(scope=SESSION, page_token=token), metadata=CLIENT
        )
    )
    assert refusal.reason is Reason.PAGE_TOKEN_INVALID


async def test_a_users_first_resource_makes_the_record(desk: Desk) -> None:
    assert (await refused(desk.get(USER, "profile"))).reason is Reason.RESOURCE_NOT_FOUND
    assert await desk.names(USER) == []
    await desk.write(USER, "cards/a", 0, b"up")
    await desk.put(USER, "profile", {"name": "Ada"})
    done = await desk.write(USER, "cards/a", 2, b"load", finish=True)
    assert done.resource.content_size == 6
    assert await desk.names(USER) == ["cards/a", "profile"]
    assert await desk.content(USER, "cards/a") == b"upload"
    assert await desk.names(ScopeRef(user_id="ada")) == ["cards/a", "profile"]


async def test_clients_see_what_is_shown(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {"title": "One", "secret": CANARY}, b"text", media_type="text/plain")
    await desk.put(SESSION, "files/a", {"tag": "t", "secret": CANARY}, CANARY.encode())
    await desk.put(SESSION, "limited/a", {"tag": "t", "secret": CANARY}, CANARY.encode(), media_type=CANARY)
    await desk.put(SESSION, "plan", {"secret": CANARY}, CANARY.encode())
    await desk.put(SESSION, "notes/a", {"secret": CANARY}, CANARY.encode())
    await desk.put(USER, "profile", {"name": "Ada", "secret": CANARY}, CANARY.encode())
    draft = await desk.get(SESSION, "draft", metadata=CLIENT)
    assert read(draft.state) == {"title": "One", "words": 0}
    assert (draft.content, draft.media_type, draft.content_size) == (b"text", "text/plain", 4)
    assert await desk.content(SESSION, "draft", metadata=CLIENT) == b"text"
    hidden_content = await desk.get(SESSION, "limited/a", metadata=CLIENT)
    assert CANARY.encode() not in hidden_content.SerializeToString()
    assert (hidden_content.content_size, hidden_content.content_sha256) == (0, "")
    profile = await desk.get(USER, "profile", metadata=CLIENT)
    assert read(profile.state) == {"initial": "A"}
    assert CANARY.encode() not in profile.SerializeToString()
    trusted = await desk.get(SESSION, "draft", view=pb.RESOURCE_VIEW_CLIENT)
    assert read(trusted.state) == {"title": "One", "words": 0}
    assert await desk.names(SESSION, metadata=CLIENT) == ["draft", "files/a", "limited/a"]
    assert await desk.names(SESSION, size=1, metadata=CLIENT) == ["draft", "files/a", "limited/a"]
    assert await desk.names(SESSION, "l", metadata=CLIENT) == ["limited/a"]
    assert await desk.names(USER, metadata=CLIENT) == ["profile"]


async def test_what_is_not_shown_equals_what_never_was(desk: Desk) -> None:
    for name in ("plan", "notes/a"):
        await desk.put(SESSION, name, {"secret": CANARY}, CANARY.encode())
    await desk.put(SESSION, "limited/a", {}, CANARY.encode())

    async def answers(name: str) -> list[bytes]:
        """To each way of asking; the name in them is replaced."""
        request = pb.GetResourceRequest(scope=SESSION, name=name)
        seen = [(await refused(desk.resources.GetResource(request, metadata=CLIENT))).status]
        with pytest.raises(aio.AioRpcError) as error:
            await desk.content(SESSION, name, metadata=CLIENT)
        seen.append(read_refusal(error.value).status)
        return [status.SerializeToString().replace(name.encode(), b"NAME") for status in seen]

    assert await answers("plan") == await answers("none") == await answers("more")
    assert await answers("notes/a") == await answers("notes/b") == await answers("never/a")
    with pytest.raises(aio.AioRpcError) as error:
        await desk.content(SESSION, "limited/a", metadata=CLIENT)
    assert read_refusal(error.value).reason is Reason.RESOURCE_NOT_FOUND


async def test_the_full_view_and_writes_are_for_the_trusted_plane(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {})
    full = desk.get(SESSION, "draft", metadata=CLIENT, view=pb.RESOURCE_VIEW_FULL)
    assert (await refused(full)).reason is Reason.ACCESS_DENIED
    assert (await refused(desk.put(SESSION, "draft", {}, metadata=CLIENT))).reason is Reason.ACCESS_DENIED
    assert (await refused(desk.delete(SESSION, "draft", metadata=CLIENT))).reason is Reason.ACCESS_DENIED


async def test_another_tenants_session_is_none(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {}, b"x")
    elsewhere = (("x-tenant-id", "other"), *TRUSTED)
    for call in (
        desk.get(SESSION, "draft", metadata=elsewhere),
        desk.put(SESSION, "draft", {}, metadata=elsewhere),
        desk.delete(SESSION, "draft", metadata=elsewhere),
        desk.names(SESSION, metadata=elsewhere),
    ):
        assert (await refused(call)).reason is Reason.SESSION_NOT_FOUND


async def test_resources_and_states_are_committed_together(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {"words": 1}, b"kept")
    scope = mutation(SESSION, "", increment("/count"))
    absent = mutation(USER, "cards/a", precondition=Precondition(exists=False))
    done = await desk.commit(mutation(SESSION, "draft", increment("/words", 2)), scope, absent)
    assert [(one.resource, one.meta.version, one.changed) for one in done.records] == [
        ("draft", 2, True),
        ("", 1, True),
        ("cards/a", 0, False),
    ]
    assert read((await desk.get(SESSION, "draft")).state)["words"] == 3
    assert await desk.content(SESSION, "draft") == b"kept"
    refusal = await refused(
        desk.commit(
            mutation(SESSION, "", increment("/count")), mutation(SESSION, "draft", increment("/words", -9))
        )
    )
    assert (refusal.reason, refusal.metadata["mutation"]) == (Reason.SCHEMA_VIOLATION, "1")
    for wrong, field in (
        (
            [
                mutation(SESSION, "draft", increment("/words")),
                mutation(SESSION, "draft", increment("/words")),
            ],
            "mutations[1].scope",
        ),
        ([mutation(ScopeRef(request_id="r"), "draft", increment("/words"))], "mutations[0].resource"),
    ):
        found = await refused(desk.commit(*wrong))
        assert found.reason in (Reason.VALIDATION_FAILED, Reason.REQUEST_NOT_FOUND)
        if found.reason is Reason.VALIDATION_FAILED:
            assert found.fields == [field]
    assert (
        await refused(desk.commit(mutation(SESSION, "none", increment("/words"))))
    ).reason is Reason.RESOURCE_NOT_FOUND
    assert (await desk.snapshot())[SCOPE_KIND_SESSION].version == 1


async def test_a_commit_makes_a_users_record_once(desk: Desk) -> None:
    done = await desk.commit(
        mutation(ScopeRef(user_id="eve", flow_kind=KIND), "profile", *[_set("/name", "Eve")]),
        mutation(ScopeRef(user_id="eve", flow_kind=KIND), "cards/a", *[_set("/tag", "t")]),
    )
    assert [one.meta.version for one in done.records] == [1, 1]
    assert await desk.names(ScopeRef(user_id="eve", flow_kind=KIND)) == ["cards/a", "profile"]


async def test_no_increment_is_lost(desk: Desk) -> None:
    await asyncio.gather(*(desk.commit(mutation(SESSION, "draft", increment("/words"))) for _ in range(50)))
    got = await desk.get(SESSION, "draft")
    assert (read(got.state)["words"], got.meta.version) == (50, 50)


async def test_limits_and_schemas_are_told(desk: Desk) -> None:
    limits = (await desk.servers.GetServerInfo(servers.GetServerInfoRequest())).limits
    assert (limits.max_resource_bytes, limits.max_inline_content_bytes) == (64 * MIB, MIB)
    assert (limits.max_resources_per_owner, limits.max_resource_name_bytes) == (10_000, 512)
    shown = (await desk.flows.GetFlow(flows.GetFlowRequest(flow_kind=KIND))).flow.resources
    assert [one.name for one in shown] == [
        "charter",
        "draft",
        "files/*",
        "limited/{topic}",
        "cards/*",
        "profile",
    ]
    assert not any(one.HasField("state_schema") for one in shown)
    draft = shown[1]
    assert (list(draft.exposed), draft.content_exposed, draft.live) == (["log", "title", "words"], True, True)
    whole = (await desk.flows.GetFlow(flows.GetFlowRequest(flow_kind=KIND), metadata=TRUSTED)).flow.resources
    assert {one.name for one in whole} >= {"plan", "notes/**"}
    assert all(one.HasField("state_schema") for one in whole)


def _set(path: str, text: str) -> Any:
    return StateOp(path=path, set=value(text))
