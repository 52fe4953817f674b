"""The guide to stores does what it says."""

from __future__ import annotations

from pathlib import Path

from flowstate_server.testing import running_server
from tests.cli.flowstate_command import flowstate
from tests.support.pages import Page, commands, names_of

PAGE = Page("docs/guides/stores.md")
[PROFILES] = PAGE.blocks("python")
[MAINTENANCE] = PAGE.blocks("console")


async def test_an_application_brings_its_stores(tmp_path: Path) -> None:
    app = names_of(PROFILES)["application"](tmp_path)
    async with (
        running_server(app, store=app.store_of("archive")) as server,
        server.connect(user="ada") as client,
    ):
        assert await client.flows.call("notes", "keep", {"text": "tea"}) == "tea"
    assert (tmp_path / "archive").is_dir()


def test_a_store_is_made_checked_and_copied(tmp_path: Path) -> None:
    here, there = f"sqlite:///{tmp_path / 'chat.db'}", f"file://{tmp_path / 'chat'}"
    for command in commands(MAINTENANCE):
        words = [{"URL": here, "FROM": here, "TO": there}.get(word, word) for word in command.words[1:]]
        assert flowstate(*words).code == 0, words
