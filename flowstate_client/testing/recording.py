"""The events of a run as a list."""

from __future__ import annotations

from flowstate_client.events import Event
from flowstate_client.runs import RunHandle
from flowstate_client.stream import EventStream


async def record_events(run: RunHandle | EventStream) -> list[Event]:
    """All events of a run, or the rest of a stream, once it has ended::

        async with asyncio.timeout(10):
            events = await record_events(await client.flows.dispatch("chat", "say", {"message": "hi"}))
        assert events[-1].type == "request.completed"

    It waits as long as the run goes on, through outages that the stream survives: put ``asyncio.timeout`` around it. A
    stream is closed afterwards, also when the waiting is cancelled.

    Raises:
        FlowStateError: what the stream raises, with the types of the events so far in the exception's notes.
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
