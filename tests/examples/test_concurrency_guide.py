"""The guide to concurrency policies does what it says."""

from __future__ import annotations

import pytest

from flowstate_server.testing.server import running_server
from tests.support.pages import Page, names_of

PAGE = Page("docs/guides/concurrency.md")
FLOW, CALLS = PAGE.blocks("python")
[PRINTED] = PAGE.blocks("text")


async def test_the_example_prints_what_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(FLOW, CALLS)
    async with running_server(names["flowstate"]) as server, server.connect(user="ada") as client:
        await names["talk"](client)
    assert capsys.readouterr().out == PRINTED
