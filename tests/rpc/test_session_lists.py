"""ListSessions: filters, totals, pages and their tokens."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flowstate.v1 import flow_service_pb2 as flows, session_service_pb2 as pb
from flowstate.v1.types_pb2 import Value
from flowstate_server.errors import Reason
from tests.support.served import Served, served, spec
from tests.support.wire import refused

ADA = (("x-flowstate-user", "ada"),)
OF_ACME = (("x-flowstate-org", "acme"),)


def text(json: str) -> Value:
    return Value(json=json)


async def create(server: Served, name: str, metadata: str = "", **fields: Any) -> pb.Session:
    session = pb.Session(**{"flow_kind": "talk", "user_id": "ada", "session_id": name, **fields})
    if metadata:
        session.metadata.json = metadata
    return (await server.sessions.CreateSession(pb.CreateSessionRequest(session=session))).session


async def listed(server: Served, *identity: Any, **query: Any) -> str:
    """Ids of all pages, of one letter each, and that they are as many as are counted."""
    found, token, pages = "", "", 0
    while True:
        request = pb.ListSessionsRequest(include_total=True, page_size=2, page_token=token, **query)
        page = await server.sessions.ListSessions(request, metadata=identity)
        found += "".join(session.session_id for session in page.sessions)
        token, pages = page.next_page_token, pages + 1
        if not token:
            assert page.total_size == len(found)
            return found


async def fill(server: Served) -> None:
    await create(server, "a", '{"plan": "pro", "n": 1}', org_id="acme", tags=["x"])
    await create(server, "b", '{"plan": "pro", "n": 1.0}', tags=["x", "y"])
    await create(server, "c", '{"deep": {"b": [1, 2], "a": null}}', user_id="bob", tags=["y"])
    await create(server, "d", user_id="bob", org_id="acme", tags=["x", "y"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "dcba"),
        ({"tags": ["x"]}, "dba"),
        ({"tags": ["x", "y", "x"]}, "db"),
        ({"tags": ["X"]}, ""),
        ({"metadata": {"plan": text('"pro"')}}, "ba"),
        ({"metadata": {"plan": text(' "\\u0070ro" ')}}, "ba"),
        ({"metadata": {"plan": text('"pro"'), "n": text("1")}}, "a"),
        ({"metadata": {"n": text("1.0")}}, "b"),
        ({"metadata": {"n": text("1e0")}}, "b"),
        ({"metadata": {"deep": text('{"a": null, "b": [1, 2]}')}}, "c"),
        ({"metadata": {"deep": text('{"a": null, "b": [2, 1]}')}}, ""),
        ({"metadata": {"missing": text("null")}}, ""),
        ({"org_id": "acme"}, "da"),
        ({"org_id": "acme", "user_id": "ada", "tags": ["x"], "metadata": {"n": text("1")}}, "a"),
        ({"user_id": "bob", "tags": ["x"]}, "d"),
        ({"flow_kind": "talk", "tags": ["y"]}, "dcb"),
        ({"flow_kind": "other", "tags": ["y"]}, ""),
    ],
)
async def test_filters_add_up(query: dict[str, Any], found: str) -> None:
    async with served() as server:
        await fill(server)
        assert await listed(server, **query) == found


async def test_what_happened_last_counts_and_not_when_it_was_created() -> None:
    async with served() as server:
        await fill(server)
        newest = (await server.sessions.ListSessions(pb.ListSessionsRequest(page_size=1))).sessions[0]
        after = newest.meta.create_time
        assert await listed(server, active_after=after) == ""
        await server.flows.CallAction(flows.CallActionRequest(spec=spec(user_id="ada", session_id="b")))
        assert await listed(server, active_after=after) == "b"
        assert await listed(server, active_after=after, tags=["x"]) == "b"
        assert await listed(server, active_after=after, user_id="bob") == ""
        [active] = (await server.sessions.ListSessions(pb.ListSessionsRequest(active_after=after))).sessions
        assert await listed(server, active_after=active.last_activity_time) == ""
        read = (await server.sessions.GetSession(pb.GetSessionRequest(session_id="b"))).session
        assert read == active
        assert read.last_activity_time.ToMicroseconds() > read.meta.update_time.ToMicroseconds()
        assert await listed(server, active_after=Timestamp(seconds=-62_135_596_800)) == "dcba"


async def test_credentials_narrow_and_another_claim_is_refused() -> None:
    async with served() as server:
        await fill(server)
        assert await listed(server, *ADA, tags=["x"]) == "ba"
        assert await listed(server, *OF_ACME, tags=["x"]) == "da"
        assert await listed(server, *OF_ACME, *ADA) == "a"
        assert await listed(server, *OF_ACME, org_id="acme", metadata={"n": text("1.0")}) == ""
        assert await listed(server, ("x-tenant-id", "t"), tags=["x"]) == ""
        for identity, query in ((ADA, {"user_id": "bob"}), (OF_ACME, {"org_id": "other"})):
            call = server.sessions.ListSessions(pb.ListSessionsRequest(**query), metadata=identity)  # type: ignore[arg-type]
            assert (await refused(call)).reason is Reason.ACCESS_DENIED


async def test_without_being_asked_for_there_is_no_total() -> None:
    async with served() as server:
        page = await server.sessions.ListSessions(pb.ListSessionsRequest(tags=["x"]))
        assert not page.HasField("total_size")
        page = await server.sessions.ListSessions(pb.ListSessionsRequest(include_total=True))
        assert page.HasField("total_size")
        assert page.total_size == 0


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"tags": ["x"]},
        {"tags": ["x", "z"]},
        {"tags": ["x", "y"], "org_id": "acme"},
        {"tags": ["x", "y"], "metadata": {"n": text("1")}},
        {"tags": ["x", "y"], "active_after": Timestamp(seconds=1)},
        {"tags": ["x", "y"], "include_ephemeral": True},
        {"metadata": {"x": text("1"), "y": text("1")}},
    ],
)
async def test_a_token_belongs_to_its_query(other: dict[str, Any]) -> None:
    async with served() as server:
        for name in "abc":
            await create(server, name, tags=["x", "y"])
        query = pb.ListSessionsRequest(tags=["x", "y"], page_size=1)
        token = (await server.sessions.ListSessions(query)).next_page_token
        again = pb.ListSessionsRequest(tags=["y", "x"], page_size=9, page_token=token, include_total=True)
        assert len((await server.sessions.ListSessions(again)).sessions) == 2
        foreign = server.sessions.ListSessions(pb.ListSessionsRequest(page_token=token, **other))
        assert (await refused(foreign)).reason is Reason.PAGE_TOKEN_INVALID
        elsewhere = server.sessions.ListSessions(again, metadata=(("x-tenant-id", "t"),))
        assert (await refused(elsewhere)).reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    ("query", "path", "reason"),
    [
        ({"tags": ["x", "a\n"]}, "tags[1]", Reason.VALIDATION_FAILED),
        ({"tags": ["x", ""]}, "tags[1]", Reason.VALIDATION_FAILED),
        ({"tags": ["x"] * 65}, "tags", Reason.VALIDATION_FAILED),
        ({"metadata": {str(n): text("1") for n in range(65)}}, "tags", Reason.VALIDATION_FAILED),
        ({"org_id": "a\n"}, "org_id", Reason.VALIDATION_FAILED),
        ({"metadata": {"k": Value()}}, "metadata.k", Reason.VALIDATION_FAILED),
        ({"metadata": {"k": text("{")}}, "metadata.k", Reason.JSON_INVALID),
        ({"metadata": {"k": text("[1e999]")}}, "metadata.k/0", Reason.JSON_NUMBER_UNREPRESENTABLE),
        ({"metadata": {"k" * 257: text("1")}}, "metadata", Reason.JSON_LIMIT_EXCEEDED),
        ({"active_after": Timestamp(seconds=2**60)}, "active_after", Reason.VALIDATION_FAILED),
        ({"active_after": Timestamp(nanos=-1)}, "active_after", Reason.VALIDATION_FAILED),
    ],
)
async def test_a_query_that_is_not_valid_names_the_field(
    query: dict[str, Any], path: str, reason: Reason
) -> None:
    async with served() as server:
        refusal = await refused(server.sessions.ListSessions(pb.ListSessionsRequest(**query)))
        assert (refusal.fields, refusal.reason) == ([path], reason)


async def test_a_page_stops_near_a_mebibyte() -> None:
    """However large they are: all of them together would not fit a message."""
    async with served() as server:
        large = '{"text": "' + "x" * 60_000 + '"}'
        for number in range(80):
            session = pb.Session(flow_kind="talk", user_id="ada", session_id=f"{number:02}", tags=["x"])
            session.metadata.json = large
            await server.sessions.CreateSession(pb.CreateSessionRequest(session=session))
        found: list[str] = []
        token = ""
        while True:
            request = pb.ListSessionsRequest(tags=["x"], page_size=500, page_token=token)
            page = await server.sessions.ListSessions(request)
            assert page.ByteSize() < 1024 * 1024 + 100_000
            found += [session.session_id for session in page.sessions]
            token = page.next_page_token
            if not token:
                break
        assert found == [f"{number:02}" for number in range(79, -1, -1)]
