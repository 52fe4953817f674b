"""An item streamed in pieces: what a reader puts together is what is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate_server.flows import Audience, Context, Session
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames, is_caught_up, read_until
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all
from tests.tails.test_visibility import Chat


async def _events(server: Hosted, request_id: str = "r1") -> list[Event]:
    return check_frames(await read_all(server.events.TailEvents(TailEventsRequest(request_id=request_id))))


def _put_together(events: Sequence[Event]) -> dict[str, tuple[str, object]]:
    """By item id: the text of its deltas, in the order in which they came, and its content when done."""
    texts: dict[str, str] = {}
    whole: dict[str, tuple[str, object]] = {}
    for event in events:
        match event.type:
            case "item.added":
                assert not event.item_added.item.HasField("content")
                texts[event.item_added.item.item_id] = ""
            case "item.delta":
                assert event.transient
                texts[event.item_delta.item_id] += event.item_delta.text
            case "item.done":
                item = event.item_done.item
                assert item.item_id not in whole, "done twice"
                whole[item.item_id] = (texts[item.item_id], json.loads(item.content.json))
    return whole


def _parts(text: str) -> object:
    return {"parts": [{"type": "text", "text": text}]}


async def test_the_deltas_of_a_message_are_its_content(store: Store) -> None:
    pieces = [f"piece {number} é🜁\n" for number in range(2_000)]

    async def body(ctx: Context) -> None:
        async with ctx.message() as message:
            for number, piece in enumerate(pieces):
                await message.write(piece)
                if number % 100 == 0:
                    await asyncio.sleep(0)

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1"))
        live = check_frames(await read_all(call))
        replayed = await _events(server)
    assert live == replayed
    ((text, content),) = _put_together(live).values()
    assert text == "".join(pieces)
    assert content == _parts(text)
    deltas = [event.item_delta for event in live if event.type == "item.delta"]
    assert 1 <= len(deltas) < len(pieces) / 4, "adjacent pieces are merged"
    assert [delta.index for delta in deltas] == sorted({delta.index for delta in deltas})
    assert deltas[0].index == 0


async def test_a_reader_gets_text_while_it_is_written(store: Store) -> None:
    seen = asyncio.Semaphore(0)

    async def body(ctx: Context) -> None:
        async with ctx.reasoning() as thought:
            for piece in "abcde":
                await thought.write(piece)
                await seen.acquire()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1"))
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            for piece in "abcde":
                if not any(_has_text(frame.batch.events, piece) for frame in frames):
                    await read_until(
                        call,
                        lambda frame, piece=piece: _has_text(frame.batch.events, piece),  # type: ignore[misc]
                        frames,
                    )
                seen.release()
            frames += await read_all(call)
    ((text, content),) = _put_together(check_frames(frames)).values()
    assert (text, content) == ("abcde", {"text": "abcde"})


def _has_text(events: Sequence[Event], text: str) -> bool:
    return any(event.item_delta.text == text for event in events)


async def test_items_in_turns_keep_their_order(store: Store) -> None:
    """Only pieces side by side are merged: what came between stays between."""

    async def body(ctx: Context) -> None:
        async with ctx.message(name="one") as one, ctx.reasoning(name="two") as two:
            for number in range(5):
                await one.write(f"1.{number} ")
                await one.write("+ ")
                await two.write(f"2.{number} ")
                await ctx.emit("between", number, audience=Audience.CLIENT)
                await ctx.session.patch_state(count=number + 1)

    async with hosted(play(body, session=Session(state=Chat)), store=store) as server:
        await server.run("r1")
        events = await _events(server)
        everything = check_frames(
            await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"), metadata=TRUSTED))
        )
    two, one = _put_together(events).values()  # in the order in which they are done
    assert one == ("".join(f"1.{n} + " for n in range(5)), _parts(one[0]))
    assert two == ("".join(f"2.{n} " for n in range(5)), {"text": two[0]})
    told = [
        event.item_delta.text if event.type == "item.delta" else event.type
        for event in everything
        if event.type in ("item.delta", "custom", "state_change")
    ]
    assert told == [one for n in range(5) for one in (f"1.{n} + ", f"2.{n} ", "custom", "state_change")]


@pytest.mark.parametrize("ending", ["raises", "cancelled", "left_open"])
async def test_an_item_that_breaks_off_is_done_with_what_there_was(store: Store, ending: str) -> None:
    written = asyncio.Event()

    async def body(ctx: Context) -> None:
        stream = ctx.message()
        message = await stream.__aenter__()
        await message.write("half a ")
        await message.write("sentence")
        written.set()
        if ending == "left_open":
            return
        if ending == "raises":
            try:
                raise RuntimeError("no")
            except RuntimeError as error:
                await stream.__aexit__(type(error), error, None)
                raise
        await asyncio.Event().wait()

    async with hosted(play(body), store=store) as server, server.client() as client:
        await server.dispatch("r1")
        await written.wait()
        if ending == "cancelled":
            await client.flows.handle("r1").cancel()
        events = check_frames(await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"))))
    ((text, content),) = _put_together(events).values()
    assert (text, content) == ("half a sentence", _parts("half a sentence"))
    ends = {"raises": "request.failed", "cancelled": "request.aborted", "left_open": "request.completed"}
    assert [event.type for event in events][-2:] == ["item.done", ends[ending]]


async def test_an_item_not_streamed_is_added_and_done_at_once(store: Store) -> None:
    async def body(ctx: Context) -> None:
        await ctx.add_item("tool_call", {"call_id": "c", "arguments": {"x": 1}}, name="search")
        await ctx.add_item("message", "hello", role="assistant")
        await ctx.add_item("custom", [1, 2.0, None], name="chart")

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        events = await _events(server)
    shown = [event for event in events if event.type.startswith("item.")]
    assert [event.type for event in shown] == ["item.added", "item.done"] * 3
    assert [
        (event.item_done.item.kind, event.item_done.item.index, event.item_done.item.content.json)
        for event in shown
        if event.type == "item.done"
    ] == [
        ("tool_call", 0, '{"call_id":"c","arguments":{"x":1}}'),
        ("message", 1, '{"parts":[{"type":"text","text":"hello"}]}'),
        ("custom", 2, "[1,2.0,null]"),
    ]
    for added, done in zip(shown[::2], shown[1::2], strict=True):
        assert done.sequence == added.sequence + 1
