"""A conversation that outlives its server: ``python -m examples.chat.demo``.

Starts a real server process on a database file, talks to it, stops it, starts another one on the same file, and goes
on with the same conversation.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from examples.chat.conversation import USER, Conversation
from examples.chat.server_process import ServerProcess, ServerTrouble, served
from examples.chat.transcript import Transcript
from flowstate_client import FlowStateClient, FlowStateError, ItemDelta, RunHandle

APP = "examples.chat:flowstate"
TIME_LIMIT = 60.0


class DemoFailed(Exception):
    """Something else happened than was to be shown."""


async def first_life(server: ServerProcess, show: Transcript) -> tuple[str, str]:
    """A conversation; returns its session and the request of its last message."""
    async with FlowStateClient.connect(server.address, user=USER) as client:
        session = await client.sessions.create("chat", title="Holidays")
        show.note("session", f"{session.id}, made for {USER}")
        conversation = Conversation(client, session.id, show)
        await conversation.say("Hello!")
        await conversation.prefer("pirate")
        await conversation.say("Please plan a trip to Lisbon.")
        last = await conversation.say("A week in May, by train.")

        show.subheading("What a client may see of the state (a snapshot)")
        shown = await conversation.show_snapshot()
        stored = await stored_names(server, session.id)
        show.note(
            "hidden", f"{', '.join(sorted(stored - shown))}: stored too, but the flow does not expose them"
        )
        return session.id, last.request_id


async def stored_names(server: ServerProcess, session_id: str) -> set[str]:
    """The names of all session fields, which only the trusted plane can read."""
    async with FlowStateClient.connect(server.address, plane="trusted") as backend:
        record = await backend.state.session(session_id).get()
        return set(record.state)


async def second_life(server: ServerProcess, session_id: str, request_id: str, show: Transcript) -> None:
    async with FlowStateClient.connect(server.address, user=USER) as client:
        conversation = Conversation(client, session_id, show)
        await conversation.show_snapshot()
        await conversation.say("Where were we?")

        show.subheading("A request of the first life, replayed from its log")
        await replay(client.flows.handle(request_id), show)

        show.subheading("Another conversation: its state is its own, the user's preference comes along")
        other = await client.sessions.create("chat", title="Something else")
        await Conversation(client, other.id, show).say("Hello!")


async def replay(run: RunHandle, show: Transcript) -> None:
    events = [event async for event in run.events()]
    text = "".join(event.text for event in events if isinstance(event, ItemDelta))
    counted = Counter(event.type for event in events)
    show.note("events", ", ".join(f"{name} x{n}" if n > 1 else name for name, n in counted.items()))
    show.note("streamed", f'"{text}"')
    output = await run.result(str)
    if text != output:
        raise DemoFailed(f"the log says {text!r}, the output was {output!r}")


async def run_demo(folder: Path, log: Path, show: Transcript) -> None:
    store = f"sqlite:///{folder / 'chat.db'}"
    show.heading("First life")
    async with served(APP, store=store, log=log) as server:
        show.note("server", f"process {server.pid} on {server.address}, {store}")
        session_id, request_id = await first_life(server, show)
    show.note("server", f"process {server.pid} has stopped")

    show.heading("Second life: a new server process, the same file")
    async with served(APP, store=store, log=log) as server:
        show.note("server", f"process {server.pid} on {server.address}, {store}")
        await second_life(server, session_id, request_id, show)
    show.note("server", f"process {server.pid} has stopped")


def main() -> int:
    show = Transcript()
    with tempfile.TemporaryDirectory(prefix="flowstate-demo-") as folder:
        log = Path(folder, "server.log")
        try:
            asyncio.run(asyncio.wait_for(run_demo(Path(folder), log, show), TIME_LIMIT))
        except (ServerTrouble, DemoFailed, FlowStateError, TimeoutError) as error:
            show.problem(f"\nThe demo failed: {type(error).__name__}: {error}")
            show.problem(f"The server's log:\n{log.read_text() if log.exists() else '(none)'}")
            return 1
        except KeyboardInterrupt:
            return 130
    show.heading("Done. The database file is deleted again. With a model and tools: make demo-assistant")
    return 0


if __name__ == "__main__":
    sys.exit(main())
