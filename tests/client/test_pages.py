"""Every list comes in pages, which may be walked, peeked into, and asked for by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowstate_client import AsyncPager, FlowStateClient, InvalidArgument, RequestCompleted
from flowstate_server.flows import Context, action, define_flow, handler, resources
from flowstate_server.testing.server import running_server


@handler
async def say(text: str, ctx: Context) -> str:
    await ctx.add_item("message", text, role="assistant")
    return text


FLOWS = [
    define_flow(kind, actions={"say": action(block=say)}, resources=[resources("files/*")])
    for kind in ("a", "b", "c")
]

List = Callable[[FlowStateClient, int, str], AsyncPager[Any]]
PAGED: dict[str, tuple[List, Callable[[Any], object]]] = {
    "ListFlows": (lambda c, n, t: c.flows.list(page_size=n, page_token=t), lambda flow: flow.flow_kind),
    "ListActionRequests": (
        lambda c, n, t: c.flows.requests(session_id="s", page_size=n, page_token=t),
        lambda request: request.request_id,
    ),
    "ListSessions": (lambda c, n, t: c.sessions.list(page_size=n, page_token=t), lambda one: one.id),
    "ListItems": (
        lambda c, n, t: c.sessions.items("s", page_size=n, page_token=t),
        lambda item: item.item_id,
    ),
    "ListEvents": (
        lambda c, n, t: c.sessions.list_events("s", page_size=n, page_token=t),
        lambda event: event.session_sequence,
    ),
    "ListEvents of a run": (
        lambda c, n, t: c.flows.handle("req-0").list_events(page_size=n, page_token=t),
        lambda event: event.sequence,
    ),
    "ListJournal": (lambda c, n, t: c.journal.list("s", page_size=n, page_token=t), lambda note: note.id),
    "ListResources": (
        lambda c, n, t: c.resources.session("s").list(page_size=n, page_token=t),
        lambda one: one.name,
    ),
}


async def fill(client: FlowStateClient) -> None:
    for number in range(3):
        await client.flows.call("a", "say", "hi", session_id="s", request_id=f"req-{number}")
        await client.sessions.create("a")
        await client.journal.append("s", f"note {number}")
        await client.resources.session("s")[f"files/{number}"].put(content="x")


async def test_every_list_comes_in_pages() -> None:
    async with running_server(FLOWS) as server, server.connect(user="ada", plane="trusted") as client:
        await fill(client)
        for name, (list_, key) in PAGED.items():
            pager = list_(client, 2, "")
            whole = [key(one) async for one in pager]
            assert len(whole) >= 3, name
            assert len(set(whole)) == len(whole), name
            assert pager.next_page_token == "", name

            pages = [page async for page in list_(client, 2, "").pages()]
            assert [key(one) for page in pages for one in page.items] == whole, name
            assert max(len(page.items) for page in pages) == 2, name

            first = await pager.first()
            assert key(first) == whole[0], name
            token = pager.next_page_token
            assert token == pages[0].next_page_token != "", name
            # By a token a page comes from whatever pager: that of another process, another request of a browser.
            page = await list_(client, 2, "").page(token)
            assert [key(one) for one in page.items] == [key(one) for one in pages[1].items], name
            assert [key(one) async for one in list_(client, 2, token)] == whole[2:], name
            page = await list_(client, 2, token).page()
            assert [key(one) for one in page.items] == [key(one) for one in pages[1].items], name


async def test_events_in_pages_are_those_of_the_tail() -> None:
    async with running_server(FLOWS) as server, server.connect(user="ada") as client:
        run = await client.flows.dispatch("a", "say", "hi")
        live = [event async for event in run.events()]
        stored = [event async for event in run.list_events()]
        assert stored == live
        done = [event async for event in run.list_events(types=["request.completed"])]
        assert [type(event) for event in done] == [RequestCompleted]
        rest = run.events(after=stored[1])
        assert [event async for event in rest] == live[2:]
        with pytest.raises(ValueError, match="page_token must be the next_page_token of a page of events"):
            run.list_events(page_token="x")


async def test_a_token_of_another_list_is_refused() -> None:
    async with running_server(FLOWS) as server, server.connect(user="ada", plane="trusted") as client:
        await fill(client)
        token = (await client.sessions.list(page_size=2).page()).next_page_token
        with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
            await client.sessions.list(page_size=2, tags=["x"]).page(token)
