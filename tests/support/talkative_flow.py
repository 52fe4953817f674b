"""A flow whose code logs from every place where it runs. Servers serve it as ``tests.support.talkative_flow:app``."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import warnings

from pydantic import BaseModel, field_validator

from flowstate_server.app import create_flowstate
from flowstate_server.flows import ClientView, Context, Session, View, action, define_flow, handler, sequencer

KIND = "talkative"
_log = logging.getLogger("author")


class Said(BaseModel):
    text: str = ""

    @field_validator("text")
    @classmethod
    def _checked(cls, text: str) -> str:
        _log.info("from a validator")
        return text


class State(BaseModel):
    count: int = 0


@handler
async def in_async(said: Said, ctx: Context) -> Said:
    _log.info("from async: %s", said.text, extra={"article": "tea", "session_id": "of somebody else"})
    return said


@handler
def in_sync(said: Said, ctx: Context) -> Said:
    _log.info("from sync")
    return said


@handler
async def in_tasks(said: Said, ctx: Context) -> Said:
    async def task() -> None:
        await asyncio.sleep(0)
        _log.info("from a task")

    await asyncio.create_task(task())
    await asyncio.to_thread(_log.info, "from to_thread")
    warnings.warn("from a warning", stacklevel=1)
    asyncio.get_running_loop().call_soon(_log.info, "from a callback")
    return said


@handler
async def in_threads(said: Said, ctx: Context) -> Said:
    def fail() -> None:
        raise LookupError("of a thread\nof its own")

    class Finalized:
        def __del__(self) -> None:
            raise LookupError("of a finalizer")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Finalized()
    return said


@handler
async def unheard(said: Said, ctx: Context) -> None:
    async def fail() -> None:
        raise LookupError("nobody awaits this")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()


@handler
async def fail(said: Said, ctx: Context) -> None:
    raise LookupError(said.text)


@handler
async def block_loop(said: Said, ctx: Context) -> None:
    time.sleep(1.5)  # noqa: ASYNC251 - that is what it is for


@handler
async def wait(said: Said, ctx: Context) -> None:
    await asyncio.sleep(30)


def _derived(view: View[State]) -> int:
    _log.info("from a derived value")
    raise ValueError


app = create_flowstate(
    flows=[
        define_flow(
            KIND,
            session=Session(state=State, client=ClientView(derived={"broken": _derived})),
            actions={
                "talk": action(
                    input=Said,
                    block=sequencer("talk")
                    .tap(in_async)
                    .tap(in_sync)
                    .tap(in_tasks)
                    .tap(in_threads)
                    .tap(unheard),
                ),
                "fail": action(input=Said, block=fail),
                "block_loop": action(input=Said, block=block_loop),
                "wait": action(input=Said, block=wait),
            },
        )
    ]
)
