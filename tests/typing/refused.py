"""What the type checker has to refuse in flows. Checked, never run.

Each wrong line says by ``type: ignore[...]`` which error it has to be; where the checker no longer finds that, it finds
an unused ``type: ignore``.
"""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import (
    Context,
    Session,
    Turns,
    View,
    action,
    define_flow,
    generator,
    handler,
    sequencer,
)
from flowstate_server.model.clock import Seconds, micros
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes import RenewLease


class Counted(BaseModel):
    message_count: int = 0


class Preferences(BaseModel):
    theme: str = "light"


class Say(BaseModel):
    message: str


class Move(BaseModel):
    distance: int


@handler(session_state=Counted)
async def count(say: Say, ctx: Context[Counted]) -> int:
    repr(ctx.session.state.message_counter)  # type: ignore[attr-defined]
    wrong: str = ctx.session.state.message_count  # type: ignore[assignment]
    ctx.session.state = Counted()  # type: ignore[misc]
    repr(ctx.user.status)  # type: ignore[attr-defined]
    wrong = ctx.dependency(Preferences)  # type: ignore[assignment]
    await ctx.session.items.history(3)  # type: ignore[arg-type]
    await ctx.session.inc_state("message_count")  # type: ignore[arg-type]
    await ctx.session.atomic_state(lambda state: {"message_count": state.messages})  # type: ignore[attr-defined]
    await ctx.session.append_journal(say)  # type: ignore[arg-type]
    await ctx.execute(move, say)  # type: ignore[misc]
    return len(wrong)


@handler(org_state=Preferences)
async def org_without_check(say: Say, ctx: Context[BaseModel, BaseModel, Preferences]) -> str:
    return ctx.org.state.theme  # type: ignore[union-attr]


@handler(session_state=Counted)
async def scope_that_was_skipped(say: Say, ctx: Context[Counted, None]) -> str:
    return ctx.user.state.theme  # type: ignore[attr-defined, no-any-return]


@handler
async def move(move: Move, ctx: Context) -> Move:
    return move


@handler(session_state=Counted)  # type: ignore[arg-type]
async def other_model(say: Say, ctx: Context[Preferences]) -> None: ...


@handler  # type: ignore[arg-type]
async def no_context(say: Say) -> None: ...


handler(session_state=Counted())  # type: ignore[call-overload]


async def called_directly(ctx: Context) -> None:
    text: str = await count(Say(message=""), ctx)  # type: ignore[assignment]
    await count(text, ctx)  # type: ignore[arg-type]


sequencer("wrong order").step(count).step(count)  # type: ignore[arg-type]
sequencer("wrong input").step(count).tap(move)  # type: ignore[arg-type]
sequencer("a tap changes nothing").tap(count).step(move)  # type: ignore[arg-type]
sequencer("a function").step(len)  # type: ignore[arg-type]

action(input=Move, block=count)  # type: ignore[misc]
action(input=Say, block=sequencer("empty"))  # type: ignore[call-overload]
action(input=Say, block=count, timeout="5 s")  # type: ignore[call-overload]

define_flow("chat", actions={"count": count})  # type: ignore[dict-item]
define_flow("chat", actions={}, session=Session(state=Counted()))  # type: ignore[arg-type]
Turns("3")  # type: ignore[arg-type]


def derived(view: View[Counted]) -> int:
    repr(view.state.theme)  # type: ignore[attr-defined]
    return view.state.message_count


async def exchanged(seconds: Seconds, user_id: str) -> None:
    RenewLease("process", seconds)  # type: ignore[arg-type]
    RenewLease("process", 15)  # type: ignore[arg-type]
    micros(micros(seconds))  # type: ignore[arg-type]
    EngineSettings(lease=micros(seconds))  # type: ignore[arg-type]
    SessionKey(user_id, "session")  # type: ignore[arg-type]


def instructions(say: Say, ctx: Context) -> str:
    return say.message


sequencer("say").step(move).step(generator("answer", prompt=instructions))  # type: ignore[arg-type]
generator("answer", prompt=5)  # type: ignore[call-overload]
generator("answer", prompt="", model=Say(message=""))  # type: ignore[call-overload]
generator("answer", prompt="", history=3)  # type: ignore[call-overload]
generator("answer", prompt="", tools=[len])  # type: ignore[list-item]
