"""Flows for tests, importable by a server process as ``tests.support.flows:app``.

``ledger`` writes state in all scopes and holds, fails or floods as it is told; ``other`` shares its user and org
records; ``private`` has the same actions on records of its own; ``forgetful`` looks back on two turns.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from flowstate_server.app import FlowState, create_flowstate
from flowstate_server.flows import (
    Action,
    ActionError,
    Audience,
    ClientView,
    Context,
    Flow,
    ItemKind,
    Org,
    Request,
    ScopeHandle,
    Session,
    StateWrite,
    User,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.observation import NOBODY, Observer
from tests.support.intruder import add_one

FIELDS = tuple(f"f{number}" for number in range(100))


class Counts(BaseModel):
    count: int = 0
    total: float = 0.0
    names: list[str] = []
    by_key: dict[str, int] = {}


FIRST: dict[str, object] = {"f0": 1}
"""A field of the wide models, which ``Counts`` has not."""


def _wide(name: str) -> type[Counts]:
    """``Counts`` and a hundred more fields, each an int or absent."""
    fields: dict[str, Any] = {field: (int | None, Field(default=None)) for field in FIELDS}
    return create_model(name, __base__=Counts, **fields)


SessionState = _wide("SessionState")
UserState = _wide("UserState")


_DEFAULTS = SessionState().model_dump()


def written_fields(state: Mapping[str, Any]) -> dict[str, Any]:
    """A session's or user's state without the fields that are at their defaults."""
    return {name: value for name, value in state.items() if value != _DEFAULTS[name]}


class OrgState(BaseModel):
    count: int = 0
    names: list[str] = []
    motto: str = ""


class Scratch(BaseModel):
    """Request scope."""

    steps: int = 0


Where = Literal["session", "user"]


class Amount(BaseModel):
    by: int = 1
    scope: Where = "session"


class Named(BaseModel):
    """One of the hundred fields, or else a key of ``by_key``."""

    field: str = ""
    key: str = ""
    value: int = 0
    scope: Where = "session"


class Intruder(BaseModel):
    target: str
    session_id: str


class Many(BaseModel):
    count: int = Field(default=10, ge=0, le=100_000)
    text: str = "x"


class Say(BaseModel):
    text: str = ""


class Failing(BaseModel):
    code: str = "NO_WAY"
    message: str = "not today"
    retryable: bool = False


class Holding(BaseModel):
    """``seconds`` before it ends by itself; ``touch``: write every so often, in seconds."""

    seconds: float = 3600.0
    touch: float = 0.0


Ctx = Context[Counts, Counts, OrgState, Scratch]


@handler(session_state=SessionState, user_state=UserState)
async def bump(amount: Amount, ctx: Ctx) -> int:
    """Adds to the scope's count; the version it made."""
    write = await _scope(ctx, amount.scope).inc_state(count=amount.by)
    return write.version


@handler(session_state=SessionState, user_state=UserState)
async def put(named: Named, ctx: Ctx) -> int:
    """Sets a field or a key; the version it made."""
    scope = _scope(ctx, named.scope)
    if named.field:
        write = await scope.patch_state({named.field: named.value})
    else:
        write = await scope.set_state_record("by_key", named.key, named.value)
    return write.version


def _scope(ctx: Ctx, where: Where) -> ScopeHandle[Counts]:
    return ctx.session if where == "session" else ctx.user


@handler(session_state=SessionState, user_state=UserState, org_state=OrgState)
async def bump_all(amount: Amount, ctx: Ctx) -> None:
    """Adds to the counts of session, user and, if there is one, org."""
    await ctx.session.inc_state(count=amount.by)
    await ctx.user.inc_state(count=amount.by)
    if ctx.org is not None:
        await ctx.org.inc_state(count=amount.by)


@handler(session_state=SessionState)
async def swap(amount: Amount, ctx: Context[Counts]) -> int:
    """Adds to the session's count by read-modify-write."""
    write = await ctx.session.atomic_state(lambda state: {"count": state.count + amount.by})
    return write.version


@handler(session_state=SessionState)
async def lose(intruder: Intruder, ctx: Context[Counts]) -> int:
    """A read-modify-write that is beaten every time, by a write at another server."""

    def change(state: Counts) -> dict[str, int]:
        add_one(intruder.target, intruder.session_id)
        return {"count": -1}

    # With it goes what was emitted: a flush amid which the loop is blocked would keep its locks on Postgres.
    await ctx.session.set_metadata(title="about to lose")
    write = await ctx.session.atomic_state(change)
    return write.version


@handler(session_state=SessionState)
def bump_in_thread(amount: Amount, ctx: Context[Counts]) -> int:
    """``bump`` by a sync handler, which runs in a thread."""
    ctx.run(ctx.session.inc_state(count=amount.by))
    return ctx.session.state.count


@handler(request_state=Scratch, session_state=SessionState)
async def scratch(amount: Amount, ctx: Ctx) -> int:
    """Counts in request scope, the version of which it gives back."""
    for _ in range(amount.by):
        await ctx.request.inc_state(steps=1)
    return ctx.request.version


@handler
async def echo(said: Say, ctx: Context) -> str:
    return said.text


@handler
async def flood(many: Many, ctx: Context) -> int:
    """Emits ``count`` events for clients."""
    for number in range(many.count):
        await ctx.emit("tick", {"n": number, "text": many.text}, audience=Audience.CLIENT)
    return many.count


@handler(session_state=SessionState)
async def talk(said: Say, ctx: Context[Counts]) -> list[str]:
    """Appends what was said and an answer; gives back the history as it was for the model."""
    seen = [item.text for item in await ctx.session.items.history()]
    await ctx.add_item(ItemKind.MESSAGE, said.text, role="user")
    async with ctx.message(role="assistant") as message:
        await message.write("re: ")
        await message.write(said.text)
    await ctx.session.inc_state(count=1)
    return seen


@handler
async def talk_and_fail(said: Say, ctx: Context) -> None:
    await ctx.add_item(ItemKind.MESSAGE, said.text, role="user")
    raise ActionError("NO_WAY", "not today")


@handler
async def talk_and_hold(said: Say, ctx: Context) -> None:
    await ctx.add_item(ItemKind.MESSAGE, said.text, role="user")
    await asyncio.sleep(3600)


@handler
async def fail(failing: Failing, ctx: Context) -> None:
    raise ActionError(failing.code, failing.message, {"why": "asked to"}, retryable=failing.retryable)


@handler
async def crash(said: Say, ctx: Context) -> None:
    raise ValueError(said.text)


@handler(session_state=SessionState)
async def bump_and_crash(amount: Amount, ctx: Context[Counts]) -> None:
    await ctx.session.inc_state(count=amount.by)
    raise ValueError("after the write")


@handler(session_state=SessionState)
async def hold(holding: Holding, ctx: Context[Counts]) -> str:
    """Says ``holding``, then waits; with ``touch`` it adds to the session's count again and again."""
    await ctx.emit("holding", audience=Audience.CLIENT)
    await ctx.session.patch_state(FIRST)
    loop = asyncio.get_running_loop()
    end = loop.time() + holding.seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, holding.touch or left))
        if holding.touch:
            await ctx.session.inc_state(count=1)
    return "held"


CLUNG: queue.Queue[tuple[str, str]] = queue.Queue()
"""What became of the late writes of ``cling``: request id, and the error's name or ``written``."""


@handler(session_state=SessionState)
async def cling(holding: Holding, ctx: Context[Counts]) -> str:
    """Like ``hold``, but ignores its cancellation until its seconds are over; then it writes and completes."""
    await ctx.emit("holding", audience=Audience.CLIENT)
    await ctx.session.patch_state(FIRST)
    loop = asyncio.get_running_loop()
    end = loop.time() + holding.seconds
    while (left := end - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)
    return _told(ctx.request_id, await _outcome(ctx.session.inc_state(count=100)))


@handler(session_state=SessionState)
def cling_in_thread(holding: Holding, ctx: Context[Counts]) -> str:
    """``cling`` by a sync handler, whose thread nothing can stop."""
    ctx.run(ctx.emit("holding", audience=Audience.CLIENT))
    ctx.run(ctx.session.patch_state(FIRST))
    time.sleep(holding.seconds)
    return _told(ctx.request_id, ctx.run(_outcome(ctx.session.inc_state(count=100))))


async def _outcome(write: Coroutine[Any, Any, StateWrite]) -> str:
    try:
        await write
    except Exception as refused:
        return type(refused).__name__
    return "written"


def _told(request_id: str, outcome: str) -> str:
    CLUNG.put((request_id, outcome))
    return outcome


def _flow(kind: str, *, isolated: bool = False, history_window: int = 50) -> Flow:
    actions: dict[str, Action[Any, Any]] = {
        "bump": action(block=bump),
        "bump_all": action(block=bump_all),
        "bump_twice": action(block=sequencer("bump_twice", input=Amount).tap(bump).step(bump)),
        "swap": action(block=swap),
        "lose": action(block=lose),
        "put": action(block=put),
        "bump_in_thread": action(block=bump_in_thread),
        "scratch": action(block=scratch),
        "echo": action(block=echo),
        "flood": action(block=flood),
        "talk": action(block=talk),
        "talk_and_fail": action(block=talk_and_fail),
        "talk_and_hold": action(block=talk_and_hold),
        "fail": action(block=fail),
        "crash": action(block=crash),
        "bump_and_crash": action(block=bump_and_crash),
        "hold": action(block=hold),
        "hold_briefly": action(block=hold, timeout=0.05),
        "cling": action(block=cling),
        "cling_in_thread": action(block=cling_in_thread),
    }
    return define_flow(
        kind=kind,
        session=Session(
            state=SessionState,
            client=ClientView(
                expose=["count", "names"], derived={"double": lambda view: view.state.count * 2}
            ),
        ),
        user=User(state=UserState, client=ClientView(expose=["count"])),
        org=Org(state=OrgState, client=ClientView(expose=["count", "motto"])),
        request=Request(state=Scratch),
        isolate_user_state=isolated,
        isolate_org_state=isolated,
        history_window=history_window,
        actions=actions,
    )


def make_app(observer: Observer = NOBODY) -> FlowState:
    """The flows with a store of their own, in memory."""
    flows = [
        _flow("ledger"),
        _flow("other"),
        _flow("private", isolated=True),
        _flow("forgetful", history_window=2),
    ]
    return create_flowstate(flows=flows, observer=observer)


app = make_app()
APP = "tests.support.flows:app"
"""What a server process serves them as."""
