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


LANGUAGES = """
from flowstate_server.flows import User

class Reader(BaseModel):
    {fields}

def upgrade(fields):
    {upgrade}
    return fields

@handler
async def choose(language: str, ctx: Context[None, Reader]) -> None:
    await ctx.user.patch_state({write})

news = define_flow(
    kind="news",
    actions={{"choose": action(block=choose)}},
    user=User(state=Reader, {generation}, client=ClientView(expose=[{exposed}])),
)
"""
FIRST = LANGUAGES.format(
    fields='lang: str = "en"',
    upgrade="...",
    write="lang=language",
    generation="generation=1",
    exposed='"lang"',
)
RENAMED = LANGUAGES.format(
    fields='language: str = "en"',
    upgrade='fields.setdefault("language", fields.pop("lang")) if "lang" in fields else None',
    write="language=language",
    generation="generation=2, upgrade=upgrade",
    exposed='"language"',
)
BOTH = LANGUAGES.format(
    fields='lang: str = "en"; language: str = "en"',
    upgrade='fields.setdefault("language", fields["lang"]) if "lang" in fields else None',
    write="lang=language, language=language",
    generation="generation=2, upgrade=upgrade",
    exposed='"lang", "language"',
)
DROPPED = LANGUAGES.format(
    fields='language: str = "en"',
    upgrade='fields.pop("lang", None)',
    write="language=language",
    generation="generation=3, upgrade=upgrade",
    exposed='"language"',
)


@pytest.mark.parametrize(("newer", "shown"), [(RENAMED, "en"), (BOTH, "fr")], ids=["renamed", "both"])
async def test_what_an_older_server_shows_of_what_a_newer_one_wrote(
    tmp_path: Path, newer: str, shown: str
) -> None:
    store = f"sqlite:///{tmp_path / 'news.db'}"
    async with running_server([names_of(my_chat() + newer)["news"]], store=store) as server:
        async with server.connect(user="ada") as client:
            await client.flows.call("news", "choose", "fr", session_id="s")
    async with running_server([names_of(my_chat() + FIRST)["news"]], store=store) as server:
        async with server.connect(user="ada") as client:
            snapshot = await client.sessions.snapshot("s")
    assert (snapshot.client_data["user"], snapshot.failures) == ({"lang": shown}, {})


async def test_a_field_is_renamed_in_two_deploys_without_a_default_in_between(tmp_path: Path) -> None:
    store, seen = f"sqlite:///{tmp_path / 'news.db'}", []
    async with running_server([names_of(my_chat() + FIRST)["news"]], store=store) as server:
        async with server.connect(user="ada") as client:
            await client.flows.call("news", "choose", "fr", session_id="s")
    for deploy in (BOTH, DROPPED):
        async with running_server([names_of(my_chat() + deploy)["news"]], store=store) as server:
            async with server.connect(user="ada") as client:
                seen.append((await client.sessions.snapshot("s")).client_data["user"])
                await client.flows.call("news", "choose", "fr", session_id="s")
                seen.append((await client.sessions.snapshot("s")).client_data["user"])
    assert seen == [{"lang": "fr", "language": "fr"}] * 2 + [{"language": "fr"}] * 2
