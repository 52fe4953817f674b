"""A process that follows a run with many tails until it is killed: ``python -m tests.support.leaving_process TARGET RUN
TAILS``. It writes a line when all of them have an event."""

from __future__ import annotations

import asyncio
import sys

from flowstate_client import FlowStateClient


async def main(target: str, request_id: str, tails: int) -> None:
    async with FlowStateClient.connect(target) as client:
        streams = [client.flows.handle(request_id).events() for _ in range(tails)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        sys.stdout.write("all\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
