"""The frames of a tail, on their way from the engine to the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from flowstate_server.engine.calls.logs import TailCall, TailFrame
from flowstate_server.engine.engine import Engine
from flowstate_server.model.scopes import RequestKey
from flowstate_server.rpc.call_context import current_call


async def tail_frames(engine: Engine, tail: TailCall) -> AsyncGenerator[TailFrame, None]:
    """Follow a log for the current call, and keep in the call the cursor of the frame that was last given to the
    transport."""
    call = current_call()
    if tail.request_id:
        call.follows = RequestKey(call.principal.tenant, tail.request_id)
    call.sequence = tail.cursor.sequence
    followed = cast(AsyncGenerator[TailFrame, None], engine.events.follow(call.principal, tail))
    async with aclosing(followed) as frames:
        async for frame in frames:
            # Ahead of the write: the transport delivers what it was given, even if the reader is cut off meanwhile.
            call.sequence = frame.cursor.sequence
            yield frame
