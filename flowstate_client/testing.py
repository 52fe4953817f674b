"""For tests of what uses this client: faults on the way, and events at hand.

``FaultProxy`` breaks connections, ``GrpcProxy`` ends streams early, ``record_events`` collects a run's events.
"""

from __future__ import annotations

from flowstate_client.events import Event
from flowstate_client.fault_proxy import FaultProxy
from flowstate_client.grpc_proxy import GrpcProxy
from flowstate_client.runs import RunHandle
from flowstate_client.stream import EventStream

__all__ = ["FaultProxy", "GrpcProxy", "record_events"]


async def record_events(run: RunHandle | EventStream) -> list[Event]:
    """All events of a run, or the rest of a stream, once it has ended. Put ``asyncio.timeout`` around it.

    Raises what the stream raises, with the events so far in the exception's notes.
    """
    recorded: list[Event] = []
    try:
        async with run.events() if isinstance(run, RunHandle) else run as stream:
            async for event in stream:
                recorded.append(event)  # noqa: PERF401 - what came before an error is kept
    except Exception as error:
        error.add_note(f"recorded before: {[event.type for event in recorded]}")
        raise
    return recorded
