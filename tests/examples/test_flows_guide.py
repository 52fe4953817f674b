"""The guide to writing flows does what it says."""

from __future__ import annotations

import pytest

from flowstate_server.flows import action, define_flow
from flowstate_server.model.events import EventType
from flowstate_server.testing import run_flow, running_server
from tests.support.pages import Page, my_chat, names_of

PAGE = Page("docs/guides/flows.md")
BLOCK, SYNC, LIFESPAN = PAGE.blocks("python")


@pytest.mark.parametrize("org", ["", "acme"])
async def test_a_block_has_what_is_said(org: str) -> None:
    names = names_of(my_chat(), BLOCK)
    flow = define_flow(kind="answers", actions={"answer": action(block=names["answer"])})
    ran = await run_flow(flow, "answer", {"message": "hello"}, org_id=org)
    assert ran.output == "0 items so far, in a plain tone"
    assert EventType.CUSTOM in ran.event_types()
    assert [item.kind for item in ran.items] == ["message"]
    assert [(note.text, note.data) for note in ran.journal] == [("answered", {"items": 0})]
    assert (ran.org is not None and ran.org.state.answers == 1) == bool(org)


async def test_a_sync_handler_writes_too() -> None:
    names = names_of(my_chat(), SYNC)
    flow = define_flow(kind="prices", actions={"look_up": action(block=names["look_up"])})
    run = await run_flow(flow, "look_up", "tea")
    assert (run.output, run.session.state.message_count) == ("tea: 3", 1)


async def test_a_block_has_what_the_lifespan_yields() -> None:
    names = names_of(my_chat(), LIFESPAN)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        assert await client.flows.call("shop", "quote", "tea") == "tea: 42"
        assert await client.flows.call("chat", "say", {"message": "hi"}) == "You said: hi "

    async def of(prices: object, article: str) -> int:
        return 7

    fake = type("FakePrices", (names["Prices"],), {"of": of})
    run = await run_flow(names["shop"], "quote", "tea", dependencies=fake())
    assert run.output == "tea: 7"
