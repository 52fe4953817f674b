"""A flow that tells what goes on inside the process that serves it."""

from __future__ import annotations

import asyncio
import gc
import sys
from functools import cache

from pydantic import BaseModel

from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.rpc.admission import Admission
from tests.support.memory import in_use

KIND = "inside"


class Inside(BaseModel):
    """``streams`` and ``calls``: those that the server serves, this one among them. ``tasks``: of its event loop.

    ``blocks``: those that Python has allocated, about one for each object. ``memory``: bytes in RAM that are in use.
    """

    streams: int
    calls: int
    tasks: int
    blocks: int
    memory: int

    def within(self, other: Inside) -> bool:
        """Whether no more goes on than there."""
        return self.streams <= other.streams and self.calls <= other.calls and self.tasks <= other.tasks


@handler
async def look(value: None, ctx: Context) -> Inside:
    gc.collect()
    admission = _admission()
    return Inside(
        streams=len(admission._streams),
        calls=len(admission._unary),
        tasks=len(asyncio.all_tasks()),
        blocks=sys.getallocatedblocks(),
        memory=in_use(),
    )


@cache
def _admission() -> Admission:
    """That of the process, which freezes what it was started with, and so hides it."""
    gc.unfreeze()
    (found,) = [one for one in gc.get_objects() if isinstance(one, Admission)]
    gc.freeze()
    return found


inside = define_flow(kind=KIND, actions={"look": action(block=look)})


async def look_inside(client: FlowStateClient) -> Inside:
    """How it looks in the server that ``client`` is connected to, which must serve the flow."""
    return await client.flows.call(KIND, "look", None, session_id="inside", output=Inside)
