"""What the type checker has to accept in flows and of the client, with the types it has to see. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Literal, assert_type

from pydantic import BaseModel

from flowstate_client import AsyncPager, FlowStateClient, JournalEntry as ClientEntry, JournalNote
from flowstate_server.flows import (
    Action,
    ClientView,
    Context,
    Flow,
    Generator,
    HistoryItem,
    JournalEntry,
    Prompt,
    ScopeHandle,
    Sequencer,
    Session,
    StateWrite,
    Tokens,
    Turns,
    View,
    action,
    allow,
    define_flow,
    generator,
    handler,
    interrupt,
    queue,
    reject,
    sequencer,
)
from flowstate_server.flows.handler import AsyncHandler, SyncHandler
from flowstate_server.testing import Scripted, ScriptedModel, calls


class Counted(BaseModel):
    message_count: int = 0


class Logged(Counted):
    log: list[str] = []


class Moded(BaseModel):
    mode: Literal["chat", "agent"] = "chat"


class Preferences(BaseModel):
    theme: str = "light"


class Say(BaseModel):
    message: str


class Shout(Say):
    volume: int = 11


async def scripted_answer(question: str) -> AsyncIterator[str]:
    yield question


@handler(session_state=Counted)
async def count(say: Say, ctx: Context[Counted]) -> None:
    assert_type(ctx.dependency(Moded), Moded)
    assert_type(ctx.session.state, Counted)
    assert_type(ctx.session.state.message_count, int)
    assert_type(await ctx.session.inc_state({"message_count": 1}), StateWrite)


@handler(session_state=Moded)
async def reply(say: Say, ctx: Context[Moded]) -> str:
    async with ctx.message(role="assistant") as message:
        async for word in scripted_answer(say.message):
            await message.write(word)
    if ctx.session.state.mode == "chat" and "plan" in say.message:
        await ctx.session.patch_state({"mode": "agent"})
    return message.text


chat = define_flow(
    kind="chat",
    session=Session(
        client=ClientView(expose=["message_count"], derived={"label": lambda view: view.state.mode.title()})
    ),
    actions={"say": action(input=Say, block=sequencer("say").tap(count).step(reply))},
)
assert_type(chat, Flow)


@handler
async def bare(say: Say, ctx: Context) -> int:
    assert_type(ctx.session.state, Any)
    return 1


@handler(name="named")
def length(text: str, ctx: Context[Counted]) -> int:
    assert_type(ctx.run(ctx.session.inc_state(message_count=1)), StateWrite)
    return len(text)


@handler(session_state=Logged, user_state=Preferences, org_state=Moded, request_state=Moded)
async def all_scopes(say: Say, ctx: Context[Logged, Preferences, Moded, Moded]) -> str:
    assert_type(ctx.user.state.theme, str)
    assert_type(ctx.request.state.mode, Literal["chat", "agent"])
    if ctx.org is not None:
        assert_type(ctx.org, ScopeHandle[Moded])
    await ctx.session.atomic_state(lambda state: {"message_count": state.message_count + 1})
    await ctx.session.atomic_state(lambda state: state.model_copy(update={"message_count": 1}))
    async with ctx.session.batch() as batch:
        batch.push_state("log", say.message)
    history = [
        *await ctx.session.items.history(Turns(3)),
        *await ctx.session.items.history(limit=Tokens(500)),
    ]
    assert_type(history, list[HistoryItem])
    noted = await ctx.session.append_journal(say.message, source="all", tags=["a"], data={"n": 1})
    assert_type(noted, JournalEntry)
    assert_type(await ctx.session.get_journal(limit=3), Sequence[JournalEntry])
    return await ctx.execute(reply, say)


@handler(session_state=Counted, org_state=Moded)
async def skips_a_scope(say: Say, ctx: Context[Counted, None, Moded]) -> str:
    assert_type(ctx.session.state.message_count, int)
    assert ctx.org is not None
    return ctx.org.state.mode


class Counters(Counted):
    other_count: int = 0


async def bump(ctx: Context[Counted]) -> None:
    await ctx.session.atomic_state(lambda state: {"message_count": state.message_count + 1})


@handler(session_state=Counters, user_state=Preferences)
async def shares_a_function(say: Say, ctx: Context[Counters, Preferences]) -> None:
    await bump(ctx)


async def called_directly(say: Say, ctx: Context[Any, Any, Any, Any]) -> None:
    assert_type(await reply(say, ctx), str)
    assert_type(length("text", ctx), int)


assert_type(reply, AsyncHandler[Say, str])
assert_type(bare, AsyncHandler[Say, int])
assert_type(length, SyncHandler[str, int])


both = sequencer("both").tap(count).step(reply).step(length)
assert_type(both, Sequencer[Say, int])
assert_type(sequencer("outer").step(both), Sequencer[Say, int])
assert_type(sequencer("counted").tap(count), Sequencer[Say, Say])


@handler
async def audit(value: object, ctx: Context) -> None: ...


@handler
async def amplify(say: Say, ctx: Context) -> Shout:
    return Shout(message=say.message)


assert_type(sequencer("audited", input=Say).tap(audit).step(reply).tap(audit), Sequencer[Say, str])
assert_type(sequencer("a model's child is one too").step(amplify).step(reply), Sequencer[Say, str])


assert_type(action(input=Say, block=both, timeout=timedelta(seconds=5)), Action[Say, int])
assert_type(action(block=both, output=int, timeout=2.5), Action[Say, int])
action(input=Shout, block=reply)


def label(view: View[Moded]) -> str:
    assert_type(view.state.mode, Literal["chat", "agent"])
    return view.state.mode


async def theme(view: View[Preferences]) -> dict[str, str]:
    return {"theme": view.state.theme}


ClientView(derived={"label": label, "theme": theme})


async def keeps_a_journal(client: FlowStateClient) -> None:
    assert_type(await client.journal.append("s", "text", tags=("a",), data=say_of("hi")), ClientEntry)
    notes = (JournalNote(text, data=[1]) for text in "ab")
    assert_type(await client.journal.append_all("s", notes, idempotency_key="k"), Sequence[ClientEntry])
    assert_type(client.journal.list("s", newest_first=True), AsyncPager[ClientEntry])


def say_of(message: str) -> Say:
    return Say(message=message)


class Weather(BaseModel):
    sky: str


def instructions(say: Say, ctx: Context[Counted]) -> str:
    return say.message


async def whole(say: Say, ctx: Context[None, Preferences]) -> Prompt:
    return Prompt("Be kind.", say.message)


model = ScriptedModel(Scripted("hi", calls("length", {"input": "x"})))
assert_type(generator("answer", prompt="Be kind."), Generator[Any, str])
assert_type(generator("answer", prompt="Be kind.", input=Say, output=Weather), Generator[Say, Weather])
assert_type(
    generator("answer", prompt=instructions, tools=[length, reply], history=Turns(3)), Generator[Say, str]
)
assert_type(generator("answer", prompt=whole, output=Weather, model=model), Generator[Say, Weather])
generator("answer", prompt="", model=lambda ctx: ctx.dependency(ScriptedModel), history=Tokens(100))
action(input=Say, block=sequencer("say").tap(count).step(generator("answer", prompt=instructions)))
define_flow(
    kind="one at a time",
    actions={
        "by session": action(block=count, concurrency=queue(limit=3, timeout=timedelta(minutes=1))),
        "by user": action(input=Say, block=count, concurrency=reject(by="user")),
        "by input": action(block=count, concurrency=interrupt(by=lambda say: say.message)),
        "all": action(block=count, concurrency=allow()),
    },
)
