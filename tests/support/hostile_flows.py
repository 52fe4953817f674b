"""A flow with a way to raise anything from every place where code of authors runs.

Also a server of its own may serve it: ``tests.support.hostile_flows:app``.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, Field, PlainSerializer

from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    Audience,
    ClientView,
    Context,
    Session,
    View,
    action,
    define_flow,
    handler,
)
from tests.support.hostile_steps import step_places

KIND = "hostile"


class Unprintable(Exception):
    """An error of an author whose text can't be had."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class ExitsAsText(Exception):
    """An error of an author whose text ends the process."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class _Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise ValueError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=_Nameless):
    """An error of an author whose class has no name."""


Strange = type("Strange\n\x1b[31m name {0} %s", (Exception,), {"__module__": "a\nb"})


def _cyclic() -> Exception:
    error, other = ValueError("a secret"), LookupError("a secret")
    error.__cause__, other.__cause__ = other, error
    return error


def _of_itself() -> Exception:
    error = ValueError("a secret")
    error.__cause__ = error.__context__ = error
    return error


KINDS: dict[str, Callable[[], BaseException]] = {
    "exception": lambda: LookupError("a secret"),
    "system exit": lambda: SystemExit("usage: a secret"),
    "keyboard interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "stop iteration": lambda: StopIteration("a secret"),
    "stop async iteration": lambda: StopAsyncIteration("a secret"),
    "unprintable": Unprintable,
    "text that exits": ExitsAsText,
    "nameless": Nameless,
    "strange name": lambda: Strange("a secret"),
    "cyclic causes": _cyclic,
    "its own cause": _of_itself,
    "group": lambda: ExceptionGroup("a secret", [Unprintable(), ValueError("a secret")]),
    "group of exits": lambda: BaseExceptionGroup("a secret", [SystemExit(1), ValueError("a secret")]),
    "group of cancellations": lambda: BaseExceptionGroup("a secret", [asyncio.CancelledError()]),
}

armed: dict[str, str] = {}
"""What a place raises that no input reaches: the kind by place."""


def throw(kind: str) -> NoReturn:
    raise KINDS[kind]()


def throw_at(place: str) -> None:
    if place in armed:
        throw(armed[place])


def _validated(text: str) -> str:
    throw_at("state validator")
    if text == "slow":
        time.sleep(50.0)
    while text == "busy":
        pass
    return text


def _serialized(text: str) -> str:
    throw_at("output serializer")
    return text


def _made() -> str:
    throw_at("input factory")
    return "made"


class State(BaseModel):
    text: Annotated[str, AfterValidator(_validated)] = ""
    count: int = 0


def _checked(kind: str) -> str:
    throw_at("input validator")
    return kind


class Input(BaseModel):
    kind: Annotated[str, AfterValidator(_checked)] = ""
    made: str = Field(default_factory=_made)


class Output(BaseModel):
    text: Annotated[str, PlainSerializer(_serialized)] = ""


async def _raise(kind: str) -> None:
    await asyncio.sleep(0)
    throw(kind)


Place = Callable[[str, Context[State]], Awaitable[Any]]


async def _in_block(kind: str, ctx: Context[State]) -> None:
    throw(kind)


async def _in_awaited_task(kind: str, ctx: Context[State]) -> None:
    await asyncio.create_task(_raise(kind))


async def _in_gathered(kind: str, ctx: Context[State]) -> None:
    await asyncio.gather(_raise(kind), asyncio.sleep(0))


async def _in_task_group(kind: str, ctx: Context[State]) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_raise(kind))
        if kind == "cancelled":  # which ends no group
            throw(kind)


async def _in_thread(kind: str, ctx: Context[State]) -> None:
    # asyncio's own futures take these for something else, and StopIteration hangs who awaits them.
    await asyncio.to_thread(throw, "exception" if kind in ("cancelled", "stop iteration") else kind)


async def _in_atomic_state(kind: str, ctx: Context[State]) -> None:
    await ctx.session.atomic_state(lambda state: throw(kind))


async def _in_validator_of_state(kind: str, ctx: Context[State]) -> None:
    armed["state validator"] = kind
    try:
        await ctx.session.patch_state(text="checked")
    finally:
        armed.clear()


async def _in_message(kind: str, ctx: Context[State]) -> None:
    async with ctx.message() as message:
        await message.write("so far")
        throw(kind)


async def _in_child(kind: str, ctx: Context[State]) -> None:
    await ctx.execute(child, Input(kind=kind))


async def _in_sync_child(kind: str, ctx: Context[State]) -> None:
    await ctx.execute(sync_child, Input(kind=kind))


async def _in_atomic_state_of_sync_child(kind: str, ctx: Context[State]) -> None:
    await ctx.execute(sync_atomic, Input(kind=kind))


async def _in_child_in_task_group(kind: str, ctx: Context[State]) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ctx.execute(child, Input(kind=kind)))
        if kind == "cancelled":
            throw(kind)


PLACES: dict[str, Place] = {
    "block": _in_block,
    "awaited task": _in_awaited_task,
    "gather": _in_gathered,
    "task group": _in_task_group,
    "thread": _in_thread,
    "atomic_state": _in_atomic_state,
    "state validator": _in_validator_of_state,
    "message": _in_message,
    "child": _in_child,
    "sync child": _in_sync_child,
    "atomic_state of a sync child": _in_atomic_state_of_sync_child,
    "child in a task group": _in_child_in_task_group,
    **step_places(throw),
}


@handler
async def child(value: Input, ctx: Context) -> None:
    throw(value.kind)


@handler
def sync_child(value: Input, ctx: Context) -> None:
    throw(value.kind)


@handler(session_state=State)
def sync_atomic(value: Input, ctx: Context[State]) -> None:
    ctx.run(ctx.session.atomic_state(lambda state: throw(value.kind)))


class Where(BaseModel):
    place: str
    kind: str


@handler(session_state=State)
async def at(value: Where, ctx: Context[State]) -> None:
    await PLACES[value.place](value.kind, ctx)


@handler
async def take(value: Input, ctx: Context) -> Output:
    return Output(text="taken")


@handler
async def leave_task(value: Input, ctx: Context) -> str:
    """Ends well ahead of a task that it leaves behind."""
    left.append(asyncio.create_task(_raise(value.kind)))
    return "left"


left: list[asyncio.Task[None]] = []


@handler
async def call_back(value: Input, ctx: Context) -> str:
    asyncio.get_running_loop().call_soon(throw, value.kind)
    await asyncio.sleep(0.05)
    return "called"


class Wait(BaseModel):
    seconds: float = 0.2


@handler(session_state=State)
async def wait(value: Wait, ctx: Context[State]) -> int:
    """Works for a while and writes in between."""
    await ctx.emit("begun", audience=Audience.CLIENT)
    for _ in range(10):
        await ctx.session.inc_state(count=1)
        await asyncio.sleep(value.seconds / 10)
    return ctx.session.state.count


class Blocking(BaseModel):
    """``how``: asleep, busy, or away in C, where no handler of a signal is run."""

    seconds: float
    how: str = "asleep"


@handler
async def block_loop(value: Blocking, ctx: Context) -> str:
    await asyncio.sleep(0.2)  # so that its dispatch is answered before
    until = time.monotonic() + value.seconds
    if value.how == "busy":
        while time.monotonic() < until:
            pass
    elif value.how == "away":
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(value.seconds * 3_000_000))
    else:
        time.sleep(value.seconds)  # noqa: ASYNC251 - what it is for
    return "blocked"


@handler
def block_thread(value: Blocking, ctx: Context) -> str:
    time.sleep(value.seconds)
    return "blocked"


@handler(session_state=State)
async def write_text(value: str, ctx: Context[State]) -> str:
    await ctx.session.patch_state(text=value)
    return "written"


@handler
async def cling_to_thread(value: Blocking, ctx: Context) -> str:
    """Leaves a thread of asyncio's own behind, which keeps a process from its end."""
    asyncio.get_running_loop().run_in_executor(None, time.sleep, value.seconds)
    return "left"


@handler
async def stop_loop(value: dict[str, str], ctx: Context) -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)
    return "stopped"


@handler
async def cancel_all(value: dict[str, str], ctx: Context) -> None:
    for task in asyncio.all_tasks():
        task.cancel()


def _derived(view: View[Any]) -> str:
    throw_at("derived value")
    return "fine"


async def _derived_async(view: View[Any]) -> str:
    throw_at("async derived value")
    return "fine"


flow = define_flow(
    KIND,
    session=Session(
        state=State,
        client=ClientView(
            expose=["count"],
            derived={"sync": _derived, "async": _derived_async, "other": lambda view: "other"},
        ),
    ),
    actions={
        "at": action(block=at),
        "take": action(block=take),
        "leave_task": action(block=leave_task),
        "call_back": action(block=call_back),
        "wait": action(block=wait),
        "block_loop": action(block=block_loop),
        "block_thread": action(block=block_thread),
        "write_text": action(block=write_text),
        "cling_to_thread": action(block=cling_to_thread),
        "stop_loop": action(block=stop_loop),
        "cancel_all": action(block=cancel_all),
    },
)

app = create_flowstate(flows=[flow])
