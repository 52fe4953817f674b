"""A real server for tests that must have no event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pydantic import BaseModel

from flowstate_client.sync import FlowStateClient
from flowstate_server.flows import ClientView, Context, Session, action, define_flow, handler, resource
from flowstate_server.testing.server import RunningServer, running_server


class Counted(BaseModel):
    count: int = 0
    notes: list[str] = []


class Plan(BaseModel):
    title: str = ""


PLAN = resource("plan", state=Plan)


@handler(session_state=Counted)
async def say(text: str, ctx: Context[Counted]) -> str:
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        for word in text.split():
            await message.write(word + " ")
    if text == "fail":
        raise LookupError
    return message.text


@handler
async def wait(value: str, ctx: Context) -> str:
    await asyncio.Event().wait()
    return value


CHAT = define_flow(
    kind="chat",
    session=Session(client=ClientView(expose=["count"])),
    resources=[PLAN],
    actions={"say": action(block=say), "wait": action(block=wait)},
)


class ServerThread:
    """A server with a loop of its own, for tests that must have none."""

    def __init__(self) -> None:
        self.target = ""
        self.server: RunningServer | None = None
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def __enter__(self) -> ServerThread:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    def connect(self, **identity: Any) -> FlowStateClient:
        return FlowStateClient.connect(self.target, **identity)

    async def _serve(self) -> None:
        async with running_server(CHAT) as self.server:
            self.target = self.server.target
            self._ready.set()
            await self._over.wait()
