"""The guide to schema changes does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_client import ActionFailed
from flowstate_server.testing import running_server
from tests.support.pages import Page, my_chat, names_of

MEND, UPGRADE = Page("docs/guides/schema-changes.md").blocks("python")

NEWS = """
class Reader(BaseModel):
    topics: {kind}

@handler
async def follow(topic: str, ctx: Context[None, Reader]) -> object:
    await ctx.user.{write}
    return ctx.user.state.topics

news = define_flow(kind="news", actions={{"follow": action(block=follow)}})
"""
BEFORE = NEWS.format(kind='str = ""', write="patch_state(topics=topic)")
AFTER = NEWS.format(kind="list[str] = []", write='push_state("topics", topic)')


async def test_the_upgrade_passes_its_test() -> None:
    await names_of(my_chat(), UPGRADE)["test_readers_of_the_first_generation"]()


async def test_a_client_mends_what_does_not_fit_any_more(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'news.db'}"
    before = names_of(my_chat() + BEFORE)
    async with running_server([before["news"]], store=store) as server, server.connect(user="ada") as client:
        await client.flows.call("news", "follow", "tea,coffee")
    names = names_of(my_chat() + AFTER, MEND)
    async with (
        running_server([names["news"]], store=store) as server,
        server.connect(user="ada", plane="trusted") as client,
    ):
        with pytest.raises(ActionFailed):
            await client.flows.call("news", "follow", "cocoa")
        await names["mend"](client)
        assert await client.flows.call("news", "follow", "cocoa") == ["tea", "coffee", "cocoa"]
        await client.state.user("ada", flow_kind="news").unset_state("topics")
        assert await client.flows.call("news", "follow", "cocoa") == ["cocoa"]
