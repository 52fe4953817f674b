"""The guide to sessions does what it says."""

from __future__ import annotations

import pytest

from flowstate_server.testing import running_server
from tests.support.pages import Page, my_chat, names_of

PAGE = Page("docs/guides/sessions.md")
ORGANIZE, OUTSIDE, KEPT = PAGE.blocks("python")
[PRINTED] = PAGE.blocks("text")


async def test_sessions_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(my_chat(), ORGANIZE)
    async with running_server([names["chat"]]) as server, server.connect(user="ada") as client:
        await names["organize"](client)
    assert capsys.readouterr().out == PRINTED


async def test_a_conversation_is_written_from_outside(capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(my_chat(), ORGANIZE, OUTSIDE)
    async with (
        running_server([names["chat"]]) as server,
        server.connect(user="ada", plane="trusted") as client,
    ):
        session = await client.sessions.create("chat")
        await names["import_and_correct"](client, session.id)
    assert capsys.readouterr().out == "['hello']\n"


def test_a_flow_says_how_long_its_sessions_are_kept() -> None:
    keeping = names_of(KEPT)["kept"].keeping
    assert (keeping.ttl, keeping.ephemeral_ttl) == (90 * 86400.0, 86400.0)
    assert (keeping.retention.max_turns, keeping.retention.seconds) == (500, 30 * 86400.0)
