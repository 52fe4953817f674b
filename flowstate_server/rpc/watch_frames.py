"""The frames of a watch, from the engine to the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from flowstate.v1.session_service_pb2 import WatchSnapshotResponse
from flowstate_server.engine.calls.watches import WatchCall, WatchFrame
from flowstate_server.engine.engine import Engine
from flowstate_server.rpc.call_context import current_call
from flowstate_server.rpc.codec.watches import encode_watch_frame
from flowstate_server.rpc.message_fields import check_document_reply


async def watch_frames(engine: Engine, watch: WatchCall) -> AsyncGenerator[WatchSnapshotResponse, None]:
    """Watch for the current call, and keep in the call the cursor of the frame that was last given to the transport."""
    call = current_call()
    followed = cast(AsyncGenerator[WatchFrame, None], engine.watches.follow(call.principal, watch))
    async with aclosing(followed) as frames:
        async for frame in frames:
            wire = encode_watch_frame(frame)
            check_document_reply(wire.ByteSize())
            call.sequence = frame.cursor.sequence
            yield wire
