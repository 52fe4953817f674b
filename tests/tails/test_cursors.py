"""Where tails and pages may begin, and where they may not."""

from __future__ import annotations

import asyncio

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest, TailEventsRequest
from flowstate.v1.types_pb2 import Cursor
from flowstate_client import CursorAhead, CursorLogMismatch, RequestNotFound
from flowstate_client.testing import GrpcProxy
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, Context
from flowstate_server.stores.store import Store
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all, refused, refused_stream

FAR = 2**63 - 1


async def _short(ctx: Context) -> None:
    await ctx.emit("one", audience=Audience.CLIENT)


async def _head(server: Hosted, request_id: str = "r1") -> Cursor:
    frames = await read_all(server.events.TailEvents(TailEventsRequest(request_id=request_id)))
    return frames[-1].cursor


@pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])
async def test_tails_that_begin_nowhere(store: Store, metadata: tuple[tuple[str, str], ...]) -> None:
    async with hosted(play(_short), store=store) as server:
        await server.run("r1")
        await server.run("r2")
        head, other = await _head(server), await _head(server, "r2")
        assert head.log_id != other.log_id
        for cursor, reason in (
            (Cursor(sequence=head.sequence + 1), Reason.CURSOR_AHEAD),
            (Cursor(log_id=head.log_id, sequence=FAR), Reason.CURSOR_AHEAD),
            (Cursor(sequence=-1), Reason.CURSOR_INVALID),
            (Cursor(log_id=head.log_id, sequence=-FAR), Reason.CURSOR_INVALID),
            (Cursor(log_id=other.log_id, sequence=1), Reason.CURSOR_LOG_MISMATCH),
            (Cursor(log_id=other.log_id, sequence=FAR), Reason.CURSOR_LOG_MISMATCH),
            (Cursor(log_id=head.log_id[:-1], sequence=1), Reason.CURSOR_LOG_MISMATCH),
        ):
            request = TailEventsRequest(request_id="r1", after=cursor)
            refusal = await refused_stream(server.events.TailEvents(request, metadata=metadata))
            assert refusal.reason is reason, cursor
            if reason is Reason.CURSOR_AHEAD:
                assert refusal.metadata == {
                    "sequence": str(cursor.sequence),
                    "latest": str(head.sequence),
                }
        for sequence, reason in (
            (head.sequence + 1, Reason.CURSOR_AHEAD),
            (FAR, Reason.CURSOR_AHEAD),
            (-1, Reason.CURSOR_INVALID),
            (-FAR, Reason.CURSOR_INVALID),
        ):
            page = ListEventsRequest(request_id="r1", after_sequence=sequence)
            assert (await refused(server.events.ListEvents(page, metadata=metadata))).reason is reason


async def test_a_tail_may_begin_at_the_very_end(store: Store) -> None:
    async with hosted(play(_short), store=store) as server:
        await server.run("r1")
        head = await _head(server)
        frames = await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1", after=head)))
        assert not [event for frame in frames for event in frame.batch.events]
        assert frames[-1].ended.final_sequence == head.sequence
        page = await server.events.ListEvents(
            ListEventsRequest(request_id="r1", after_sequence=head.sequence)
        )
    assert (page.cursor, page.end_of_log, len(page.events)) == (head, True, 0)


async def test_cursor_errors_are_not_retried_by_the_client(store: Store) -> None:
    from flowstate_client import Cursor as Place

    async with (
        hosted(play(_short), store=store) as server,
        GrpcProxy(server.address) as proxy,
        server.client(proxy.target) as client,
        server.client(proxy.target, user="u2") as stranger,
    ):
        await server.run("r1")
        for user, request_id, after, error in (
            (client, "r1", Place("", 99), CursorAhead),
            (client, "r1", Place("other", 1), CursorLogMismatch),
            (client, "r9", None, RequestNotFound),
            (stranger, "r1", None, RequestNotFound),
        ):
            proxy.calls.clear()
            stream = user.flows.handle(request_id).events(after=after)
            async with asyncio.timeout(5):
                with pytest.raises(error):
                    await anext(stream)
            assert proxy.calls == ["/flowstate.v1.EventService/TailEvents"]
        async with asyncio.timeout(5):
            await server.no_streams()
