"""Nothing that a caller or a block writes can make a log unreadable."""

from __future__ import annotations

import asyncio

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest, TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate.v1.flow_service_pb2 import CancelActionRequestRequest, GetActionRequestRequest
from flowstate_server.errors import Reason
from flowstate_server.flows import ActionError, Audience, Context, Session
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all, refused
from tests.tails.test_visibility import Chat

MIB = 1024 * 1024


async def _read_it_all(server: Hosted) -> str:
    """Reads the request by every method that shows it, on both planes; gives the type of its last event."""
    tail: list[Event] = []
    for metadata in ((), TRUSTED):
        tail = check_frames(
            await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"), metadata=metadata))
        )
        after = 0
        listed: list[Event] = []
        while True:
            page = await server.events.ListEvents(
                ListEventsRequest(request_id="r1", after_sequence=after), metadata=metadata
            )
            listed += page.events
            after = page.cursor.sequence
            if page.end_of_log:
                break
        assert listed == tail
        await server.flows.GetActionRequest(GetActionRequestRequest(request_id="r1"), metadata=metadata)
    return tail[-1].type


async def test_the_reason_of_a_cancel(store: Store) -> None:
    begun = asyncio.Event()

    async def body(ctx: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        await begun.wait()
        large = CancelActionRequestRequest(request_id="r1", reason="x" * (4 * MIB - 100))
        refusal = await refused(server.flows.CancelActionRequest(large))
        assert refusal.reason is Reason.VALIDATION_FAILED
        assert refusal.fields == ["reason"]
        fits = CancelActionRequestRequest(request_id="r1", reason="é" * 512)
        assert (await server.flows.CancelActionRequest(fits)).action_request.cancel_requested
        assert await _read_it_all(server) == "request.aborted"


async def _custom(ctx: Context) -> None:
    await ctx.emit("n", "x" * 5 * MIB, audience=Audience.CLIENT)


async def _custom_name(ctx: Context) -> None:
    await ctx.emit("n" * 5 * MIB, audience=Audience.CLIENT)


async def _status(ctx: Context) -> None:
    await ctx.status("x" * 5 * MIB)


async def _item(ctx: Context) -> None:
    await ctx.add_item("custom", "x" * 5 * MIB)


async def _item_name(ctx: Context) -> None:
    await ctx.add_item("custom", "x", name="n" * 5 * MIB)


async def _message_role(ctx: Context) -> None:
    async with ctx.message("r" * 5 * MIB) as message:
        await message.write("x")


async def _delta(ctx: Context) -> None:
    async with ctx.message() as message:
        for _ in range(10):
            await message.write("x" * MIB)


async def _error_text(ctx: Context) -> None:
    raise ActionError("TOLD", "x" * 5 * MIB)


async def _error_code(ctx: Context) -> None:
    raise ActionError("T" * 5 * MIB, "told")


async def _error_details(ctx: Context) -> None:
    raise ActionError("TOLD", "told", {"x": "x" * 5 * MIB})


async def _output(ctx: Context) -> str:
    return "x" * 5 * MIB


async def _state(ctx: Context) -> None:
    await ctx.session.patch_state(by_id={"x" * 250 + str(n): n for n in range(20_000)})


@pytest.mark.parametrize(
    "body",
    [
        _custom,
        _custom_name,
        _status,
        _item,
        _item_name,
        _message_role,
        _delta,
        _error_text,
        _error_code,
        _error_details,
        _output,
        _state,
    ],
)
async def test_what_a_block_writes(body: object) -> None:
    flow = play(body, session=Session(state=Chat))  # type: ignore[arg-type]
    async with hosted(flow) as server:
        await server.run("r1")
        assert await _read_it_all(server) == "request.failed"


async def test_records_of_many_fields_make_changes_that_can_be_read(store: Store) -> None:
    """A change tells at most 16 KiB of each field, whatever the fields are."""

    async def body(ctx: Context) -> None:
        for number in range(300):
            await ctx.session.set_state_record("by_id", "k" * 240 + str(number), number)

    async with hosted(play(body, session=Session(state=Chat)), store=store) as server:
        await server.run("r1")
        assert await _read_it_all(server) == "request.completed"
