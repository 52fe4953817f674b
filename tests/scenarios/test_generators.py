"""A model answers through a server: to those who follow, to later turns, and to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ActionAborted,
    ActionFailed,
    FlowStateClient,
    ItemDelta,
    ItemDone,
    ModelUsage,
)
from flowstate_client.testing import record_events
from flowstate_server.app import create_flowstate
from flowstate_server.errors import ModelUnavailableError
from flowstate_server.flows import Context, Flow, Turns, action, define_flow, generator, handler, sequencer
from flowstate_server.flows.generation import model_calls
from flowstate_server.language_models import (
    AssistantMessage,
    Message,
    SystemMessage,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    UserMessage,
)
from flowstate_server.observation import NOBODY, Observer
from flowstate_server.testing import Scripted, ScriptedModel, calls
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon, until

CANARY = "canary-4b7d"


class Say(BaseModel):
    message: str


class Mood(BaseModel):
    happy: bool


@handler
async def remember(say: Say, ctx: Context) -> None:
    await ctx.add_item("message", say.message, role="user")


@handler
async def search(words: str, ctx: Context) -> list[str]:
    """Finds pages."""
    if words == CANARY:
        raise ValueError(CANARY)
    return [words, words[::-1]]


def chat() -> Flow:
    answer = generator("answer", prompt="Be brief.", history=Turns(2), tools=[search])
    mood = generator("mood", prompt="Which mood?", input=Say, output=Mood)
    return define_flow(
        kind="chat",
        actions={
            "say": action(input=Say, block=sequencer("say").tap(remember).step(answer)),
            "mood": action(input=Say, block=mood),
        },
    )


@asynccontextmanager
async def served(
    model: ScriptedModel, store: str = "memory", observer: Observer = NOBODY
) -> AsyncIterator[tuple[FlowStateClient, FlowStateClient]]:
    """A client of the user ada and a trusted one."""
    app = create_flowstate(flows=[chat()], observer=observer)
    async with (
        running_server(app, store=store, dependencies=model) as server,
        server.connect(user="ada") as ada,
        server.connect(plane="trusted") as backend,
    ):
        yield ada, backend


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_calls, "FIRST_PAUSE", 0.001)


async def test_text_is_told_while_it_comes(store_url: str) -> None:
    going_on = asyncio.Event()
    model = ScriptedModel(Scripted("Hel", going_on, "lo"))
    async with served(model, store_url) as (ada, _):
        run = await ada.flows.dispatch("chat", "say", {"message": "hi"}, session_id="s")
        heard = ""
        async with asyncio.timeout(20), run.events() as events:
            async for event in events:
                if isinstance(event, ItemDelta):
                    heard += event.text
                    going_on.set()
        assert heard == "Hello"
        assert await run.result(str) == "Hello"


async def test_thoughts_tools_and_usage(store_url: str) -> None:
    model = ScriptedModel(
        Scripted(
            ThoughtDelta("look "), ThoughtDelta("it up"), "I look. ", calls("search", {"input": "tea"}, "c1")
        ),
        Scripted("Found.", expect='["tea","aet"]'),
    )
    async with served(model, store_url) as (ada, backend):
        run = await ada.flows.dispatch("chat", "say", {"message": "hi"}, session_id="s")
        seen = await record_events(run)
        items = [event.item for event in seen if isinstance(event, ItemDone)]
        assert [(item.kind, item.name) for item in items] == [
            ("message", ""),
            ("reasoning", ""),
            ("message", ""),
            ("tool_call", "search"),
            ("tool_output", "search"),
            ("message", ""),
        ]
        assert items[3].content == {"call_id": "c1", "arguments": {"input": "tea"}}
        assert items[4].content == {"call_id": "c1", "output": ["tea", "aet"]}
        assert not [event for event in seen if isinstance(event, ModelUsage)], "that is for the trusted plane"
        known = await record_events(backend.flows.handle(run.request_id))
        used = [event for event in known if isinstance(event, ModelUsage)]
        assert [(event.provider, event.model, event.block_path) for event in used] == [
            ("scripted", "script", ("say", "answer"))
        ] * 2
        assert all(event.input_tokens > 0 and event.output_tokens > 0 for event in used)
        assert not any(event.transient for event in used)
        listed = [item.kind async for item in ada.sessions.items("s")]
        assert listed == ["message", "reasoning", "message", "tool_call", "tool_output", "message"]


async def test_later_turns_remember_as_far_as_their_window_goes(store_url: str) -> None:
    model = ScriptedModel(
        Scripted(calls("search", {"input": "tea"}, "c1")), "one", "two", "three", Scripted("four")
    )
    async with served(model, store_url) as (ada, _):
        for number in "1234":
            await ada.flows.call("chat", "say", {"message": number}, session_id="s")
    expected: list[Message] = [
        SystemMessage("Be brief."),
        UserMessage("1"),
        AssistantMessage("", (ToolCall("c1", "search", '{"input":"tea"}'),)),
        ToolResult("c1", "search", '["tea","aet"]'),
        AssistantMessage("one"),
        UserMessage("2"),
        AssistantMessage("two"),
        UserMessage("3"),
    ]
    assert list(model.requests[3].messages) == expected
    assert [message.text for message in model.requests[4].messages] == [
        "Be brief.",
        "2",
        "two",
        "3",
        "three",
        "4",
    ]


async def test_cancel_ends_the_call_at_once_and_the_text_stays(store_url: str) -> None:
    model = ScriptedModel(Scripted("Hel", asyncio.Event()), "again")
    async with served(model, store_url) as (ada, _):
        run = await ada.flows.dispatch("chat", "say", {"message": "hi"}, session_id="s")
        async with asyncio.timeout(20), run.events() as events:
            async for event in events:
                if isinstance(event, ItemDelta):
                    break
        assert model.open == 1
        await run.cancel()
        await until(lambda: model.open == 0, 1.0, what="the end of the call")
        with pytest.raises(ActionAborted):
            await soon(run.result())
        items = [item async for item in ada.sessions.items("s")]
        assert items[-1].content == {"parts": [{"type": "text", "text": "Hel"}]}
        await ada.flows.call("chat", "say", {"message": "on"}, session_id="s")
        assert [message.text for message in model.requests[1].messages] == ["Be brief.", "on"]


async def test_structured_output_is_repaired(store_url: str) -> None:
    model = ScriptedModel('{"happy": "canary"}', Scripted('{"happy": true}', expect="/happy"))
    async with served(model, store_url) as (ada, _):
        run = await ada.flows.dispatch("chat", "mood", {"message": "hooray"}, session_id="s")
        assert await run.result(dict[str, bool]) == {"happy": True}
        assert "canary" not in repr(await record_events(run))
        assert [item async for item in ada.sessions.items("s")] == []


async def test_failures_speak_their_code_and_nothing_else() -> None:
    gone = Scripted(ModelUnavailableError(CANARY, 0.0))
    model = ScriptedModel(gone, gone, gone, gone, "{}", "{}")
    async with served(model) as (ada, backend):
        for act, reason, retryable in (("say", "MODEL_UNAVAILABLE", True), ("mood", "OUTPUT_INVALID", False)):
            run = await ada.flows.dispatch("chat", act, {"message": "hi"}, session_id="s")
            with pytest.raises(ActionFailed) as failed:
                await run.result()
            failure = failed.value.failure
            assert (failure.reason, failure.retryable, failure.domain) == (reason, retryable, "flowstate.dev")
            for client in (ada, backend):
                assert CANARY not in repr(await record_events(client.flows.handle(run.request_id)))
    model.check_done()


async def test_what_a_tool_failed_of_reaches_no_client() -> None:
    model = ScriptedModel(
        Scripted(calls("search", {"input": CANARY})), Scripted("Sorry.", expect="the tool failed")
    )
    async with served(model) as (ada, _):
        run = await ada.flows.dispatch("chat", "say", {"message": "hi"}, session_id="s")
        assert await run.result(str) == "Sorry."
        outputs = [event.item for event in await record_events(run) if isinstance(event, ItemDone)]
        assert [item.content for item in outputs if item.kind == "tool_output"] == [
            {"call_id": "call_search", "output": {"error": "the tool failed"}}
        ]


async def test_the_observer_is_told_of_each_call() -> None:
    told: list[dict[str, object]] = []

    class Watching(Observer):
        def model_call(self, **more: object) -> None:
            told.append(more)

    model = ScriptedModel(Scripted(ModelUnavailableError(CANARY)), "hello")
    async with served(model, observer=Watching()) as (ada, _):
        run = await ada.flows.dispatch("chat", "say", {"message": "hi"})
        await run.result()
    assert [(one["provider"], one["model"], one["outcome"]) for one in told] == [
        ("", "", "ModelUnavailableError"),
        ("scripted", "script", "OK"),
    ]
    assert [one["tokens_out"] for one in told] == [0, 2]
    assert {one["request_id"] for one in told} == {run.request_id}
    assert CANARY not in repr(told)
