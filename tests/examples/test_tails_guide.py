"""The guide to tails and snapshots does what it says."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.testing import running_server
from tests.support.pages import Page, my_chat, names_of

FOLLOW, SCREEN, REOPEN = Page("docs/guides/tails.md").blocks("python")


async def test_a_run_is_followed_and_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(my_chat(), FOLLOW)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        await names["follow"](client)
    assert capsys.readouterr().out == "You said: hello \n['item.done', 'item.done']\n"


async def test_a_screen_shows_events_and_what_the_flow_shows(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(my_chat(), FOLLOW, SCREEN)
    async with running_server([names["chat"]]) as server, server.connect(user="ada") as client:
        await names["screen"](client)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("request.created ")
    assert lines[-2:] == ["request.completed 1", "{'session': {'message_count': 1}}"]


async def test_a_page_that_is_loaded_again_gets_its_conversation_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = names_of(my_chat(), FOLLOW, REOPEN)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        await client.flows.call("chat", "say", {"message": "one"}, session_id="s1")
        events = names["reopen"](client, "s1")
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.1)  # it may come at any moment; this is the one in which the page is up
        await client.flows.call("chat", "say", {"message": "two"}, session_id="s1")
        seen = [await first]
        while seen[-1].type != "request.completed":
            seen.append(await anext(events))
        await events.aclose()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "{'session': {'message_count': 1}}"
    assert ["one" in line for line in told[1:]] == [True, True]
    assert seen[0].type == "request.created"
    assert len([event for event in seen if event.type == "item.done"]) == 2
