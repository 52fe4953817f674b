"""Items of each kind, from blocks to clients."""

from __future__ import annotations

from typing import Any

import pytest

from flowstate_client import ItemDone
from flowstate_client.testing import record_events
from flowstate_server.errors import ValidationFailedError
from flowstate_server.flows import Context
from tests.support.hosted import hosted, play


async def test_w10_each_kind_has_a_helper() -> None:
    async def body(ctx: Context) -> list[str]:
        call = await ctx.tool_call("search", {"query": "rain"})
        await ctx.tool_output(call.call_id, ["wet"], name="search")
        await ctx.tool_call("clock", call_id="c2")
        await ctx.error("the clock stands still")
        await ctx.custom("chart", [1, 2])
        return [call.call_id, *(item.call_id for item in await ctx.session.items.history())]

    async with hosted(play(body)) as server, server.client() as client:
        run = await client.flows.dispatch("play", "play", session_id="s")
        made, *paired = await run.result(list[str])
        done = [event.item for event in await record_events(run) if isinstance(event, ItemDone)]
    assert made
    # The second call has no output, and the model is shown it as it is under way.
    assert paired == [made, made, "c2", "", ""]
    assert [(item.kind, item.name, item.content) for item in done] == [
        ("tool_call", "search", {"call_id": made, "arguments": {"query": "rain"}}),
        ("tool_output", "search", {"call_id": made, "output": ["wet"]}),
        ("tool_call", "clock", {"call_id": "c2", "arguments": None}),
        ("error", "", {"message": "the clock stands still"}),
        ("custom", "chart", [1, 2]),
    ]


@pytest.mark.parametrize(
    ("kind", "content", "place"),
    [
        ("tool_call", {"nope": "1"}, "/content/call_id"),
        ("tool_output", {"call_id": "c"}, "/content/output"),
        ("error", "no", "/content"),
        ("message", {"role": "user"}, "/content/parts"),
        ("note", "x", "/kind"),
    ],
)
async def test_w10_what_a_kind_does_not_fix_is_refused_where_it_is_added(
    kind: str, content: Any, place: str
) -> None:
    async def body(ctx: Context) -> str:
        with pytest.raises(ValidationFailedError) as refused:
            await ctx.add_item(kind, content)
        assert await ctx.session.items.all() == []
        return refused.value.violations[0].path

    async with hosted(play(body)) as server, server.client() as client:
        assert await client.flows.call("play", "play", output=str) == place
