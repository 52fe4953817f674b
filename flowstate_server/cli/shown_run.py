"""What a run says, while it is waited for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Console

from flowstate_client import FlowStateError, RunHandle, TerminalEvent
from flowstate_server.cli.conversation import Conversation, shown_in
from flowstate_server.cli.telling import on_terminal

# Patience for the last events to be shown once the output is there: they were stored before it. Chosen.
LAST_EVENTS_SECONDS = 1.0


@asynccontextmanager
async def shown_meanwhile(run: RunHandle) -> AsyncIterator[None]:
    """Show on stderr what the run says, where somebody looks on. The call does not fail with it."""
    console = Console(stderr=True, highlight=False)
    if not (on_terminal(sys.stderr) and on_terminal()):
        yield
        return
    conversation = Conversation(console, request_id=run.request_id)
    showing = asyncio.create_task(_show(run, conversation))
    task = asyncio.current_task()
    with shown_in(conversation):
        try:
            yield
        finally:
            if task is None or not task.cancelling():  # by Ctrl-C
                await asyncio.wait((showing,), timeout=LAST_EVENTS_SECONDS)
            showing.cancel()
            await asyncio.wait((showing,))


async def _show(run: RunHandle, conversation: Conversation) -> None:
    with suppress(FlowStateError):
        async with run.events() as events:
            async for event in events:
                if not isinstance(event, TerminalEvent):  # its end is told by the output, or the error
                    conversation.show(event)
