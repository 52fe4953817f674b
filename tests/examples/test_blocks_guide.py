"""The guide of blocks does what it says."""

from __future__ import annotations

import pytest

from flowstate_server.flows import action, define_flow
from flowstate_server.model.events import EventType
from flowstate_server.testing import run_flow
from tests.support.pages import Page, names_of

CODE, SEARCH = Page("docs/guides/blocks.md").blocks("python")


@pytest.mark.parametrize(
    ("text", "route", "output"),
    [
        ("hello", "greeting", "You said: hello"),
        ("tea", "question", "the web on tea; the docs on tea!!"),
        ("secrets", "question", "secrets!!"),
    ],
)
async def test_the_desk_answers(text: str, route: str, output: str) -> None:
    names = names_of(CODE)
    run = await run_flow(names["desk"], "ask", {"text": text})
    assert run.output == output
    (decided,) = [event for event in run.events if event.type is EventType.ROUTER_DECIDED]
    assert decided.payload.route == route
    paths = ["/".join(event.block_path) for event in run.events if event.type is EventType.BLOCK_STARTED]
    assert ("answer/research/improve#2" in paths) is (route == "question")
    failed = ["/".join(event.block_path) for event in run.events if event.type is EventType.BLOCK_FAILED]
    assert failed == (["answer/research/docs"] if text == "secrets" else [])


@pytest.mark.parametrize(("text", "output"), [("tea", "the docs on tea"), ("nothing", "the web on nothing")])
async def test_a_handler_runs_blocks(text: str, output: str) -> None:
    names = names_of(CODE, SEARCH)
    flow = define_flow(kind="search", actions={"search": action(block=names["search"])})
    run = await run_flow(flow, "search", {"text": text})
    assert run.output == output
    paths = ["/".join(event.block_path) for event in run.events if event.type is EventType.BLOCK_STARTED]
    assert paths[:2] == ["search", "search/search_docs"]
