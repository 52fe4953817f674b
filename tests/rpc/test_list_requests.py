"""``FlowService.ListActionRequests`` over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowstate.v1 import flow_service_pb2 as pb
from flowstate_client import FlowStateClient, RequestStatus, SessionNotFound
from flowstate_server.errors import Reason
from flowstate_server.flows import ActionError, Context
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, refused

Metadata = tuple[tuple[str, str], ...]
U1: Metadata = (("x-flowstate-user", "u1"),)
TEXT = "t" * 1000


@asynccontextmanager
async def requests() -> AsyncIterator[Hosted]:
    """``a`` to ``c`` and the running ``d`` in ``s1``, ``e`` in ``s2`` and org ``acme``, ``f`` of another user, ``g`` in
    another flow."""

    async def say(ctx: Context) -> str:
        return TEXT

    async def fail(ctx: Context) -> None:
        raise ActionError("NO", "no", {"why": TEXT})

    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    flows = (play({"say": say, "fail": fail, "hold": hold}), play({"say": say}, kind="more"))
    async with hosted(*flows) as server:
        await server.run("a", "say", session_id="s1", input=TEXT)
        await server.run("b", "say", session_id="s1", input=TEXT)
        await server.run("c", "fail", session_id="s1", input=TEXT)
        await server.dispatch("d", "hold", session_id="s1")
        await server.run("e", "say", session_id="s2", org_id="acme")
        await server.run("f", "say", session_id="s3", user_id="u2")
        await server.run("g", "say", session_id="s4", flow_kind="more")
        yield server


async def listed(server: Hosted, metadata: Metadata = (), **fields: Any) -> str:
    """The ids on all pages, in one page and in pages of 1 and 2, which must be the same."""
    seen = []
    for size in (0, 1, 2):
        found = ""
        request = pb.ListActionRequestsRequest(page_size=size, **fields)
        while True:
            page = await server.flows.ListActionRequests(request, metadata=metadata)
            assert len(page.action_requests) <= (size or 50)
            found += "".join(one.request_id for one in page.action_requests)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        seen.append(found)
    assert seen[0] == seen[1] == seen[2]
    return seen[0]


COMPLETED = pb.ACTION_REQUEST_STATUS_COMPLETED
FAILED = pb.ACTION_REQUEST_STATUS_FAILED
RUNNING = pb.ACTION_REQUEST_STATUS_IN_PROGRESS
QUEUED = pb.ACTION_REQUEST_STATUS_QUEUED


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, "gfedcba"),
        ({"session_id": "s1"}, "dcba"),
        ({"user_id": "u1"}, "gedcba"),
        ({"user_id": "u2"}, "f"),
        ({"user_id": "nobody"}, ""),
        ({"org_id": "acme"}, "e"),
        ({"org_id": "other"}, ""),
        ({"flow_kind": "play"}, "fedcba"),
        ({"flow_kind": "more"}, "g"),
        ({"flow_kind": "never"}, ""),
        ({"flow_kind": "play", "action": "say"}, "feba"),
        ({"statuses": [RUNNING]}, "d"),
        ({"statuses": [RUNNING, QUEUED], "user_id": "u2"}, ""),
        ({"statuses": [COMPLETED]}, "gfeba"),
        ({"statuses": [FAILED, RUNNING], "session_id": "s1"}, "dc"),
        ({"session_id": "s1", "user_id": "u2"}, ""),
        ({"session_id": "s1", "flow_kind": "play", "action": "say", "user_id": "u1"}, "ba"),
    ],
)
async def test_each_filter_and_several(fields: dict[str, Any], wanted: str) -> None:
    async with requests() as server:
        assert await listed(server, **fields) == wanted
        assert await listed(server, TRUSTED, **fields) == wanted


async def test_payloads_are_left_out_unless_asked_for() -> None:
    async with requests() as server:
        for with_payloads in (False, True):
            request = pb.ListActionRequestsRequest(with_payloads=with_payloads)
            page = await server.flows.ListActionRequests(request)
            for one in page.action_requests:
                get = pb.GetActionRequestRequest(request_id=one.request_id)
                whole = (await server.flows.GetActionRequest(get)).action_request
                for record in (one, whole):
                    record.ClearField("latest")  # the one that runs may have got on
                if not with_payloads:
                    assert TEXT not in one.input.json + one.output.json
                    whole.ClearField("input")
                    whole.ClearField("output")
                assert one == whole


async def test_those_that_credentials_name() -> None:
    async with requests() as server:
        assert await listed(server, U1) == "gedcba"
        assert await listed(server, (("x-flowstate-user", "u2"),)) == "f"
        assert await listed(server, (("x-flowstate-org", "acme"),)) == "e"
        assert await listed(server, (*U1, ("x-flowstate-org", "acme"))) == "e"
        assert await listed(server, (("x-tenant-id", "other"),)) == ""
        for fields, metadata, reason in (
            ({"user_id": "u2"}, U1, Reason.ACCESS_DENIED),
            ({"org_id": "other"}, (("x-flowstate-org", "acme"),), Reason.ACCESS_DENIED),
            ({"session_id": "s3"}, U1, Reason.SESSION_NOT_FOUND),
            ({"session_id": "s1"}, (("x-tenant-id", "other"),), Reason.SESSION_NOT_FOUND),
            ({"session_id": "never"}, (), Reason.SESSION_NOT_FOUND),
            ({"action": "say"}, (), Reason.VALIDATION_FAILED),
            ({"statuses": [0]}, (), Reason.VALIDATION_FAILED),
            ({"statuses": [RUNNING, 99]}, (), Reason.VALIDATION_FAILED),
            ({"page_size": -1}, (), Reason.VALIDATION_FAILED),
            ({"page_token": "x"}, (), Reason.PAGE_TOKEN_INVALID),
            ({"session_id": "x" * 129}, (), Reason.VALIDATION_FAILED),
        ):
            call = server.flows.ListActionRequests(
                pb.ListActionRequestsRequest(**fields),
                metadata=metadata,
            )
            refusal = await refused(call)
            assert refusal.reason is reason, fields
            if "statuses" in fields:
                assert refusal.fields == [f"statuses[{len(fields['statuses']) - 1}]"]  # type: ignore[arg-type]


async def test_tokens_are_good_for_their_own_list_only() -> None:
    async with requests() as server:
        right: dict[str, Any] = {"session_id": "s1", "page_size": 1}
        page = await server.flows.ListActionRequests(pb.ListActionRequestsRequest(**right))
        token = page.next_page_token
        for fields in (
            {"session_id": ""},
            {"user_id": "u1"},
            {"flow_kind": "play"},
            {"statuses": [COMPLETED]},
            {"with_payloads": True},
            {"org_id": "acme"},
        ):
            request = pb.ListActionRequestsRequest(**{**right, **fields, "page_token": token})
            refusal = await refused(server.flows.ListActionRequests(request))
            assert refusal.reason is Reason.PAGE_TOKEN_INVALID, fields
        for metadata in (U1, (("x-tenant-id", "other"),)):
            request = pb.ListActionRequestsRequest(page_size=1, page_token=token)
            refusal = await refused(server.flows.ListActionRequests(request, metadata=metadata))
            assert refusal.reason is Reason.PAGE_TOKEN_INVALID


async def test_a_page_stops_near_a_mebibyte() -> None:
    async def echo(ctx: Context) -> str:
        return "y" * 300_000

    async with hosted(play(echo)) as server:
        for number in range(5):
            await server.run(f"{number}", session_id="s1", input="x" * 300_000)
        request = pb.ListActionRequestsRequest(session_id="s1", with_payloads=True, page_size=500)
        sizes = []
        while True:
            page = await server.flows.ListActionRequests(request)
            sizes.append(len(page.action_requests))
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        assert sizes == [1, 1, 1, 1, 1]
        request = pb.ListActionRequestsRequest(session_id="s1", page_size=500)
        assert len((await server.flows.ListActionRequests(request)).action_requests) == 5


async def _ids(client: FlowStateClient, **fields: Any) -> str:
    return "".join([record.request_id async for record in client.flows.requests(**fields)])


async def test_the_client_lists_requests() -> None:
    async with requests() as server, server.client() as client:
        assert await _ids(client) == "gedcba"
        assert await _ids(client, session_id="s1", page_size=1) == "dcba"
        assert await _ids(client, statuses=[RequestStatus.FAILED, RequestStatus.IN_PROGRESS]) == "dc"
        assert await _ids(client, flow_kind="play", action="say") == "eba"
        newest = await client.flows.requests(session_id="s1", with_payloads=True).first()
        assert newest is not None
        assert (newest.status, newest.input) == (RequestStatus.IN_PROGRESS, {})
        failed = await client.flows.requests(statuses=["failed"]).first()
        assert failed is not None
        assert failed.failure is not None
        assert (failed.failure.reason, failed.input, failed.output) == ("NO", None, None)
        with pytest.raises(SessionNotFound):
            await client.flows.requests(session_id="s3").first()
        with pytest.raises(ValueError, match="unknown status"):
            client.flows.requests(statuses=[RequestStatus.UNKNOWN])
