"""The guide to state does what it says."""

from __future__ import annotations

import tomllib

import pytest

from flowstate_server.testing import running_server
from tests.support.pages import CHECKOUT, Page, my_chat, names_of

PAGE = Page("docs/guides/state.md")
DESK, SERVICE = PAGE.blocks("python")
[PLUGIN] = PAGE.blocks("toml")


async def test_blocks_and_services_write_state(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(my_chat(), DESK, SERVICE)
    async with (
        running_server([names["desk"]]) as server,
        server.connect(user="ada", plane="trusted") as client,
    ):
        for opened in (1, 2, 3, 4):
            assert await client.flows.call("desk", "open", "tea", session_id="s1") == opened
        await names["close_tickets"](client)
        assert capsys.readouterr().out == "STATE_TEST_FAILED\n"
        await client.flows.call("desk", "open", "cocoa", session_id="s1")
        await names["close_tickets"](client)
        stored = await client.state.session("s1").get()
    assert stored.state == {"opened": 0, "last": "", "by_topic": {"tea": 4, "cocoa": 1}}
    assert capsys.readouterr().out == ""


def test_the_plugin_is_the_one_that_this_project_uses() -> None:
    ours = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["mypy"]["plugins"]
    assert tomllib.loads(PLUGIN)["tool"]["mypy"]["plugins"] == ours
