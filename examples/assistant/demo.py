"""Two customers at the support desk: ``python -m examples.assistant.demo``."""

from __future__ import annotations

import asyncio

from examples.assistant import flowstate
from flowstate_client import (
    Event,
    FlowStateClient,
    ItemDelta,
    ItemDone,
    RequestQueued,
    ResourceChange,
    RunHandle,
)
from flowstate_server.testing.server import running_server

ASKED = (
    "Hello!",
    "Please be cheerful.",
    "Where is order 7?",
    "The cup in order 8 is broken.",
)


async def answered(run: RunHandle, question: str) -> None:
    """Show what comes of a run, as it comes."""
    print(f"\nada> {question}\n")
    async for event in run.events():
        show(event)


def show(event: Event) -> None:
    match event:
        case ItemDelta(text=text):
            print(text, end="", flush=True)
        case ItemDone(item=item) if item.kind == "tool_call" and isinstance(item.content, dict):
            print(f"   [{item.name} {item.content['arguments']}]")
        case ItemDone(item=item) if item.role == "assistant":
            print()
        case ResourceChange(name=name, changed=changed):
            print(f"   [{name} changed: {changed}]")
        case RequestQueued(ahead=ahead):
            print(f"   [waits for {ahead} other: all were asked at once, a session answers one at a time]")
        case _:
            pass


async def main() -> None:
    async with running_server(flowstate) as server, server.connect(user="ada") as client:
        session = await client.sessions.create("assistant", title="Tea")
        say = [
            await client.flows.dispatch("assistant", "say", {"message": message}, session_id=session.id)
            for message in ASKED  # at once: they are answered one after the other
        ]
        for run, question in zip(say, ASKED, strict=True):
            await answered(run, question)
        await show_what_clients_see(client, session.id)


async def show_what_clients_see(client: FlowStateClient, session_id: str) -> None:
    snapshot = await client.sessions.snapshot(session_id)
    print(f"\nA client sees: {snapshot.client_data}")


if __name__ == "__main__":
    asyncio.run(main())
