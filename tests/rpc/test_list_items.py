"""``SessionService.ListItems`` over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowstate.v1.session_service_pb2 import ListItemsRequest, ListItemsResponse
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, AUDIENCE_HISTORY, AUDIENCE_INTERNAL
from flowstate_client import RequestNotFound, SessionNotFound, ValidationFailed
from flowstate_server.errors import Reason
from flowstate_server.flows import ActionError, Audience, Context
from flowstate_server.model.json_values import decode_json
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, refused

Metadata = tuple[tuple[str, str], ...]


class Conversation:
    """Says what it is told; ``hold`` is open until it is let go."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.go = asyncio.Event()

    async def say(self, ctx: Context) -> None:
        name = ctx.request_id
        await ctx.add_item("message", f"{name} asks", role="user")
        await ctx.add_item("message", f"{name} thinks", audiences=(Audience.HISTORY,))
        await ctx.add_item("message", f"{name} notes", audiences=())
        async with ctx.message(audiences=(Audience.CLIENT,)) as message:
            await message.write(f"{name} answers")

    async def fail(self, ctx: Context) -> None:
        await ctx.add_item("message", f"{ctx.request_id} asks")
        raise ActionError("NO", "no")

    async def hold(self, ctx: Context) -> None:
        async with ctx.message() as first, ctx.message() as second:
            await second.write(f"{ctx.request_id} second")
            await first.write(f"{ctx.request_id} first")
        await ctx.session.set_metadata(title="held")  # commits what came before
        self.held.set()
        await self.go.wait()

    async def large(self, ctx: Context) -> None:
        for number in range(5):
            await ctx.add_item("message", f"{number}" + "x" * 300_000)


@asynccontextmanager
async def conversation() -> AsyncIterator[tuple[Hosted, Conversation]]:
    """Turns ``r1``, then ``held``, which began before ``r2`` and ended after it; ``failed`` is none."""
    flow = Conversation()
    actions: dict[str, Any] = {name: getattr(flow, name) for name in ("say", "fail", "hold", "large")}
    async with hosted(play(actions)) as server:
        await server.run("r1", "say", session_id="s1")
        await server.dispatch("held", "hold", session_id="s1")
        await flow.held.wait()
        await server.run("r2", "say", session_id="s1")
        await server.run("failed", "fail", session_id="s1")
        flow.go.set()
        await server.run("held", "hold", session_id="s1")
        await server.run("elsewhere", "say", session_id="s2")
        yield server, flow


def texts(response: ListItemsResponse) -> list[str]:
    contents: list[Any] = [decode_json(item.content.json.encode()) for item in response.items]
    return ["".join(part["text"] for part in content["parts"]) for content in contents]


async def listed(server: Hosted, metadata: Metadata = (), **fields: Any) -> list[str]:
    """What all pages have, in one page and in pages of 1 and 3, which must be the same."""
    seen = []
    for size in (0, 1, 3):
        pages: list[str] = []
        request = ListItemsRequest(session_id="s1", page_size=size, **fields)
        while True:
            page = await server.sessions.ListItems(request, metadata=metadata)
            assert len(page.items) <= (size or 50)
            pages += texts(page)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        seen.append(pages)
    assert seen[0] == seen[1] == seen[2]
    return seen[0]


def said(request_id: str, *parts: str) -> list[str]:
    return [f"{request_id} {part}" for part in parts]


R1 = said("r1", "asks", "thinks", "notes", "answers")
R2 = said("r2", "asks", "thinks", "notes", "answers")


async def test_all_items_of_a_session_in_the_order_of_their_completion() -> None:
    async with conversation() as (server, _):
        whole = await listed(server, TRUSTED)
        assert whole == [*R1, "held second", "held first", *R2, "failed asks"]
        assert await listed(server, TRUSTED, newest_first=True) == whole[::-1]
        for_client = [text for text in whole if not text.endswith(("thinks", "notes"))]
        assert await listed(server) == for_client
        assert await listed(server, newest_first=True) == for_client[::-1]


async def test_the_items_of_a_request() -> None:
    async with conversation() as (server, _):
        assert await listed(server, TRUSTED, request_id="r2") == R2
        assert await listed(server, request_id="r2") == said("r2", "asks", "answers")
        assert await listed(server, request_id="failed") == ["failed asks"]
        assert await listed(server, request_id="held", newest_first=True) == said("held", "first", "second")


async def test_the_items_of_the_newest_turns_go_by_the_end_of_turns_then_by_index() -> None:
    async with conversation() as (server, _):
        held = said("held", "first", "second")
        for turns, wanted in ((1, held), (2, [*R2, *held]), (3, [*R1, *R2, *held]), (99, [*R1, *R2, *held])):
            assert await listed(server, TRUSTED, last_turns=turns) == wanted
            assert await listed(server, TRUSTED, last_turns=turns, newest_first=True) == wanted[::-1]
        assert await listed(server, last_turns=2) == [*said("r2", "asks", "answers"), *held]


async def test_turns_that_come_between_pages_move_none_out() -> None:
    async with conversation() as (server, _):
        for newest_first in (False, True):
            request = ListItemsRequest(session_id="s1", last_turns=2, page_size=2, newest_first=newest_first)
            seen: list[str] = []
            number = 0
            while True:
                page = await server.sessions.ListItems(request)
                seen += texts(page)
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
                await server.run(f"later {newest_first} {number}", "say", session_id="s1")
                number += 1
            if not newest_first:
                assert seen == [*said("r2", "asks", "answers"), *said("held", "first", "second")]
            else:
                assert seen == said("later False 0", "answers", "asks") + said("held", "second", "first")


async def test_items_by_audience() -> None:
    async with conversation() as (server, _):
        of_r1: dict[str, Any] = {"request_id": "r1"}
        for audience, wanted in (
            (AUDIENCE_CLIENT, ["asks", "answers"]),
            (AUDIENCE_HISTORY, ["asks", "thinks"]),
            (AUDIENCE_INTERNAL, ["notes"]),
        ):
            assert await listed(server, TRUSTED, audience=audience, **of_r1) == said("r1", *wanted)
            if audience == AUDIENCE_CLIENT:
                assert await listed(server, audience=audience, **of_r1) == said("r1", *wanted)
                continue
            request = ListItemsRequest(session_id="s1", audience=audience)
            assert (await refused(server.sessions.ListItems(request))).reason is Reason.ACCESS_DENIED


async def test_what_an_item_says_is_what_its_event_said() -> None:
    async with conversation() as (server, _), server.client(plane="trusted") as client:
        done = client.sessions.events("s1", types=["item.done"], replay_only=True)
        told = [event.item async for event in done]  # type: ignore[attr-defined]
        assert [item async for item in client.sessions.items("s1")] == told


@pytest.mark.parametrize(
    ("fields", "reason", "place"),
    [
        ({"session_id": ""}, Reason.VALIDATION_FAILED, "session_id"),
        ({"session_id": "never"}, Reason.SESSION_NOT_FOUND, None),
        ({"session_id": "s1", "request_id": "never"}, Reason.REQUEST_NOT_FOUND, None),
        ({"session_id": "s1", "request_id": "elsewhere"}, Reason.REQUEST_NOT_FOUND, None),
        ({"session_id": "s1", "request_id": "r1", "last_turns": 1}, Reason.VALIDATION_FAILED, "last_turns"),
        ({"session_id": "s1", "last_turns": -1}, Reason.VALIDATION_FAILED, "last_turns"),
        ({"session_id": "s1", "page_size": -1}, Reason.VALIDATION_FAILED, "page_size"),
        ({"session_id": "s1", "audience": 99}, Reason.VALIDATION_FAILED, "audience"),
        ({"session_id": "s1", "page_token": "x"}, Reason.PAGE_TOKEN_INVALID, "page_token"),
    ],
)
async def test_what_is_refused(fields: dict[str, Any], reason: Reason, place: str | None) -> None:
    async with conversation() as (server, _):
        refusal = await refused(server.sessions.ListItems(ListItemsRequest(**fields)))
        assert refusal.reason is reason
        assert place is None or refusal.fields == [place]


async def test_tokens_are_good_for_their_own_list_only() -> None:
    async with conversation() as (server, _):
        right: dict[str, Any] = {"session_id": "s1", "page_size": 1}
        token = (await server.sessions.ListItems(ListItemsRequest(**right))).next_page_token
        assert token
        for fields in (
            {"session_id": "s2"},
            {"newest_first": True},
            {"last_turns": 3},
            {"request_id": "r1"},
        ):
            request = ListItemsRequest(**{**right, **fields, "page_token": token})
            assert (await refused(server.sessions.ListItems(request))).reason is Reason.PAGE_TOKEN_INVALID
        request = ListItemsRequest(**right, page_token=token)
        trusted = server.sessions.ListItems(request, metadata=TRUSTED)
        assert (await refused(trusted)).reason is Reason.PAGE_TOKEN_INVALID
        assert texts(await server.sessions.ListItems(request)) == ["r1 answers"]


async def test_a_page_stops_near_a_mebibyte() -> None:
    async with conversation() as (server, _):
        await server.run("large", "large", session_id="s3")
        request = ListItemsRequest(session_id="s3", page_size=500)
        first = await server.sessions.ListItems(request)
        assert len(first.items) == 3
        request.page_token = first.next_page_token
        second = await server.sessions.ListItems(request)
        assert [text[0] for text in texts(first) + texts(second)] == list("01234")


async def test_it_is_for_the_owner_alone() -> None:
    async with conversation() as (server, _):
        request = ListItemsRequest(session_id="s1")
        for metadata in ((("x-flowstate-user", "u2"),), (("x-tenant-id", "other"),)):
            refusal = await refused(server.sessions.ListItems(request, metadata=metadata))
            assert refusal.reason is Reason.SESSION_NOT_FOUND
        assert (await server.sessions.ListItems(request, metadata=(("x-flowstate-user", "u1"),))).items


async def test_the_client_lists_a_conversation() -> None:
    async with conversation() as (server, _), server.client() as client:
        items = [item async for item in client.sessions.items("s1", last_turns=2, page_size=1)]
        assert [item.request_id for item in items] == ["r2", "r2", "held", "held"]
        assert (items[0].role, items[0].content) == ("user", {"parts": [{"type": "text", "text": "r2 asks"}]})
        newest = await client.sessions.items("s1", newest_first=True).first()
        assert newest is not None
        assert newest.request_id == "failed"
        with pytest.raises(SessionNotFound):
            await client.sessions.items("never").first()
        with pytest.raises(RequestNotFound):
            await client.sessions.items("s1", request_id="never").first()
        with pytest.raises(ValidationFailed):
            await client.sessions.items("s1", request_id="r1", last_turns=1).first()
