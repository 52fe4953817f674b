"""A flow that tells what goes on inside the process that serves it."""

from __future__ import annotations

import asyncio
import gc

from pydantic import BaseModel

from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.rpc.admission import Admission

KIND = "inside"


class Inside(BaseModel):
    """``streams`` and ``calls``: those that the server serves, this one among them. ``tasks``: of its event loop."""

    streams: int
    calls: int
    tasks: int


@handler
async def look(value: None, ctx: Context) -> Inside:
    gc.collect()
    admissions = [one for one in gc.get_objects() if isinstance(one, Admission)]
    return Inside(
        streams=sum(len(one._streams) for one in admissions),
        calls=sum(len(one._unary) for one in admissions),
        tasks=len(asyncio.all_tasks()),
    )


inside = define_flow(kind=KIND, actions={"look": action(block=look)})
