"""Items that are shown while they are news, and never kept: they are in no history and in no list."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_client import ItemAdded, ItemDelta, ItemDone
from flowstate_server.app import store_from_url
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import ActionError, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.transfer import check_store
from flowstate_server.testing import run_flow
from tests.support.hosted import hosted, play
from tests.support.store_urls import ALL, new_stores


async def _speak(ctx: Context) -> list[str]:
    await ctx.add_item("message", "kept")
    await ctx.add_item("message", "draft", transient=True)
    async with ctx.message(transient=True) as message:
        await message.write("being ")
        await message.write("typed")
    async with ctx.reasoning(transient=True, name="aloud") as thought:
        await thought.write("hm")
    await ctx.custom("progress", {"n": 1.0}, transient=True)
    return [item.text for item in await ctx.session.items.all()]


SHOWN = ["kept", "draft", "being typed", "hm", ""]


@pytest.mark.parametrize("kind", ALL)
async def test_they_are_told_and_not_kept(kind: str, tmp_path: Path) -> None:
    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with new_stores(tmp_path) as new_store:
        store = store_from_url(await new_store(kind))
        async with hosted(play(_speak), store=store, settings=settings) as server, server.client() as client:
            run = await client.flows.dispatch("play", "play", session_id="s1")
            assert await run.result(list[str]) == ["kept"]
            events = [event async for event in run.events()]
            done = [event for event in events if isinstance(event, ItemDone)]
            assert [event.transient for event in done] == [False, True, True, True, True]
            assert [_text(event.item.content) for event in done] == SHOWN
            assert done[4].item.content == {"n": 1.0}
            assert (done[3].item.kind, done[3].item.name) == ("reasoning", "aloud")
            begun = [event for event in events if isinstance(event, ItemAdded)]
            assert [event.transient for event in begun] == [event.transient for event in done]
            assert [event.item.item_id for event in begun] == [event.item.item_id for event in done]
            pieces = [event.text for event in events if isinstance(event, ItemDelta)]
            assert "".join(pieces) == "being typedhm"
            of_session = client.sessions.events("s1", types=["item.done"], replay_only=True)
            assert [event async for event in of_session] != []

            for fields in ({}, {"last_turns": 5}, {"request_id": run.request_id}):
                listed = client.sessions.items("s1", **fields)
                assert [_text(item.content) async for item in listed] == ["kept"]
            assert [problem async for problem in check_store(store)] == []
            await server.engine.sweeper.sweep()
            left = [event async for event in run.events() if isinstance(event, ItemDone)]
            assert [_text(event.item.content) for event in left] == ["kept"]
            again = await client.flows.call("play", "play", session_id="s1", output=list[str])
            assert again == ["kept", "kept"], "a history of what is kept"


def _text(content: object) -> str:
    assert isinstance(content, dict)
    return "".join(part["text"] for part in content.get("parts", ())) or content.get("text", "")


async def test_one_whose_run_ends_is_told_with_its_text_so_far() -> None:
    async def broken(ctx: Context) -> None:
        async with ctx.message(transient=True) as message:
            await message.write("half a")
            raise ActionError("NO", "no")

    async with hosted(play(broken)) as server, server.client() as client:
        await server.run("r1", session_id="s1")
        events = [event async for event in client.flows.handle("r1").events()]
        [done] = [event for event in events if isinstance(event, ItemDone)]
        assert (done.transient, _text(done.item.content)) == (True, "half a")
        assert [item async for item in client.sessions.items("s1")] == []


async def test_a_test_of_a_flow_sees_them_as_events() -> None:
    run = await run_flow(play(_speak), "play")
    assert [item.text for item in run.items] == ["kept"]
    told = [event.item for event in run.events if event.item is not None]
    assert [item.text for item in told] == SHOWN
