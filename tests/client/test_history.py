"""Items become what models are told, as generators on the server tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic_ai.messages import ModelMessagesTypeAdapter

from flowstate_client import FlowStateClient, Item, NewItem
from flowstate_client.history import (
    anthropic_messages,
    openai_chat_messages,
    openai_response_items,
    pydantic_ai_messages,
)
from flowstate_server.flows import Context, Flow, action, define_flow, handler
from flowstate_server.flows.generation.conversation import conversation
from flowstate_server.flows.generation.prompt import Prompt
from flowstate_server.language_models import AssistantMessage, SystemMessage, ToolResult, UserMessage
from flowstate_server.model.clock import Micros
from flowstate_server.model.items import Audience, Item as StoredItem, ItemKind
from flowstate_server.model.json_values import encode_json
from flowstate_server.programs.history import HistoryItem, select_history
from flowstate_server.testing.fixtures import StartServer


def item(
    kind: str,
    content: Any,
    *,
    role: str = "",
    name: str = "",
    request_id: str = "r",
    audiences: tuple[str, ...] = ("client", "history"),
    removed: bool = False,
) -> Item:
    if isinstance(content, str):
        content = {"parts": [{"type": "text", "text": content}]} if kind == "message" else {"text": content}
    return Item("i", kind, role, name, content, audiences, request_id, 0, None, removed)


def said(role: str, text: str, **more: Any) -> Item:
    return item("message", text, role=role, **more)


def call(call_id: str, arguments: Any = None, **more: Any) -> Item:
    return item("tool_call", {"call_id": call_id, "arguments": arguments or {}}, **{"name": "search", **more})


def output(call_id: str, value: Any, **more: Any) -> Item:
    return item("tool_output", {"call_id": call_id, "output": value}, **{"name": "search", **more})


TALK = [
    said("developer", "Be kind."),
    said("user", "Rain?"),
    item("reasoning", "hm"),
    said("assistant", "I look."),
    call("a", {"q": "é"}),
    call("b"),
    output("b", {"n": 2}),
    output("a", "rain"),
    said("assistant", "It rains."),
    item("custom", {"chart": 1}, name="chart"),
    item("error", {"message": "no stock"}),
    said("customer", "Thanks"),
]


def test_chat_completions_of_openai() -> None:
    assert openai_chat_messages(TALK) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"q":"é"}'}},
                {"id": "b", "type": "function", "function": {"name": "search", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "tool", "tool_call_id": "b", "content": '{"n":2}'},
        {"role": "assistant", "content": "It rains."},
        {"role": "assistant", "content": "no stock"},
        {"role": "user", "content": "Thanks"},
    ]
    assert openai_chat_messages([call("a"), output("a", "")])[0]["content"] is None


def test_input_items_of_openai_responses() -> None:
    assert openai_response_items(TALK) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "a", "name": "search", "arguments": '{"q":"é"}'},
        {"type": "function_call", "call_id": "b", "name": "search", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
        {"type": "function_call_output", "call_id": "b", "output": '{"n":2}'},
        {"role": "assistant", "content": "It rains."},
        {"role": "assistant", "content": "no stock"},
        {"role": "user", "content": "Thanks"},
    ]


def test_messages_of_anthropic() -> None:
    made = anthropic_messages([*TALK, said("system", "Be brief."), call("a"), output("a", None)])
    assert made.system == "Be kind.\n\nBe brief."
    assert made.messages == [
        {"role": "user", "content": [{"type": "text", "text": "Rain?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "search", "input": {"q": "é"}},
                {"type": "tool_use", "id": "b", "name": "search", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "b", "content": '{"n":2}'},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "It rains."}, {"type": "text", "text": "no stock"}],
        },
        {"role": "user", "content": [{"type": "text", "text": "Thanks"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a_2", "name": "search", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a_2", "content": "null"}]},
    ]


def test_ids_are_such_as_anthropic_takes() -> None:
    one = anthropic_messages([call("a|b:ü"), output("a|b:ü", "x")]).messages
    assert (one[0]["content"][0]["id"], one[1]["content"][0]["tool_use_id"]) == ("a_b__", "a_b__")


def test_blank_text_is_nothing_that_anthropic_takes() -> None:
    told = anthropic_messages([said("user", " \n"), said("user", "Rain?"), said("assistant", " ")])
    assert told.messages == [{"role": "user", "content": [{"type": "text", "text": "Rain?"}]}]


def test_messages_of_pydantic_ai() -> None:
    read = ModelMessagesTypeAdapter.validate_python(pydantic_ai_messages(TALK))
    assert [(one.kind, [part.part_kind for part in one.parts]) for one in read] == [
        ("request", ["system-prompt", "user-prompt"]),
        ("response", ["text", "tool-call", "tool-call"]),
        ("request", ["tool-return", "tool-return"]),
        ("response", ["text"]),
        ("response", ["text"]),
        ("request", ["user-prompt"]),
    ]


def test_reasoning_only_if_it_is_asked_for() -> None:
    items = [item("reasoning", "hm"), said("assistant", "yes")]
    assert [one["content"] for one in openai_chat_messages(items)] == ["yes"]
    thoughts = [one["content"] for one in openai_chat_messages(items, reasoning=True)]
    assert thoughts == ["<thinking>hm</thinking>", "yes"]


def test_what_is_left_out_is_told() -> None:
    items = [
        half := call("never answered"),
        other := output("never asked", 1),
        custom := item("custom", {"chart": 1}),
        unknown := item("hologram", {"parts": []}),
        said("user", "for clients alone", audiences=("client",)),
        said("user", "", removed=True),
        item("message", None, role="user"),
        said("user", "hi"),
    ]
    left_out: list[Item] = []
    assert openai_chat_messages(items, on_left_out=left_out.append) == [{"role": "user", "content": "hi"}]
    assert left_out == [half, other, custom, unknown]


def test_overlapping_turns_are_told_one_after_the_other() -> None:
    items = [
        said("user", "weather?", request_id="1"),
        call("0", request_id="1"),
        said("user", "joke?", request_id="2"),
        call("0", request_id="2", name="joke"),
        output("0", "ha", request_id="2"),
        said("assistant", "ha!", request_id="2"),
        output("0", "sunny", request_id="1"),
        said("assistant", "sunny!", request_id="1"),
    ]
    assert [one["content"] for one in openai_chat_messages(items)] == [
        *("joke?", None, "ha", "ha!"),
        *("weather?", None, "sunny", "sunny!"),
    ]


def test_an_output_of_the_next_request_is_paired() -> None:
    items = [call("0", request_id="1"), said("user", "so?", request_id="2"), output("0", 5, request_id="2")]
    assert [one["role"] for one in openai_chat_messages(items)] == ["assistant", "tool", "user"]


_ids = st.sampled_from(["a", "b"])
_made = st.one_of(
    st.builds(
        said,
        st.sampled_from(["user", "assistant", "system", "developer", "x"]),
        st.sampled_from(["", "t", "u"]),
    ),
    st.builds(call, _ids, st.sampled_from([{"q": 1}, "text", [1]]), name=st.sampled_from(["s", "s t", ""])),
    st.builds(output, _ids, st.sampled_from([1, "text", None, {"n": 1.0}])),
    st.builds(item, st.just("error"), st.just({"message": "oh"})),
    st.builds(item, st.just("reasoning"), st.just("hm")),
    st.builds(item, st.just("custom"), st.just({"c": 1})),
    st.builds(said, st.just("user"), st.just("not for models"), audiences=st.just(("client",))),
)


@settings(max_examples=100)
@given(st.lists(st.lists(_made, max_size=6), max_size=3))
def test_it_is_what_a_generator_tells_its_model(turns: list[list[Item]]) -> None:
    items = [
        Item(**{name: getattr(one, name) for name in Item.__slots__} | {"request_id": str(number)})
        for number, turn in enumerate(turns)
        for one in turn
    ]
    window = [
        HistoryItem.of(
            StoredItem(
                *(one.item_id, ItemKind(one.kind), 0, encode_json(one.content), one.role, one.name),
                frozenset(map(Audience, one.audiences)),
            ),
            one.request_id,
            Micros(1),
        )
        for one in items
    ]
    told = list(conversation(Prompt("", "now"), select_history(window, running="now")))[:-1]
    assert [_without_ids(one) for one in openai_chat_messages(items)] == [_as_chat(one) for one in told]


def _without_ids(message: dict[str, Any]) -> tuple[Any, ...]:
    calls = message.get("tool_calls", ())
    return message["role"], message["content"] or "", *(tuple(one["function"].values()) for one in calls)


def _as_chat(message: Any) -> tuple[Any, ...]:
    match message:
        case SystemMessage(text=text):
            return "system", text
        case UserMessage(text=text):
            return "user", text
        case AssistantMessage(text=text, tool_calls=calls):
            return "assistant", text, *((one.name, one.arguments) for one in calls)
        case ToolResult(text=text):
            return "tool", text
    raise AssertionError(message)


@handler
async def talk(given: str, ctx: Context) -> None:
    await ctx.add_item("message", given, role="user")
    await ctx.tool_call("look", {"at": given}, call_id="1")
    if given != "half":
        await ctx.tool_output("1", {"found": given})
        await ctx.add_item("message", f"Found {given}.", role="assistant")


@pytest.mark.parametrize(
    "of", [openai_chat_messages, openai_response_items, lambda items: anthropic_messages(items).messages]
)
async def test_a_conversation_of_a_server(
    start_server: StartServer, of: Callable[[list[Item]], list[Any]]
) -> None:
    flow: Flow = define_flow(kind="talk", actions={"talk": action(block=talk)})
    server = await start_server(flow)
    async with server.connect(user="ada", plane="trusted") as client:
        for given in ("tea", "half", "cake"):
            await client.flows.call("talk", "talk", given, session_id="s")
        added = await client.sessions.append_items("s", [NewItem.message("user", "secret")])
        await client.sessions.remove_items("s", ids=[one.item_id for one in added])
        listed = of(await _items(client))
    told = json.dumps(listed)
    assert "secret" not in told
    assert [word for word in ("tea", "half", "cake") if word in told] == ["tea", "half", "cake"]
    assert (told.count("found"), told.count('{"at": "half"}')) == (2, 0)


async def _items(client: FlowStateClient) -> list[Item]:
    return [one async for one in client.sessions.items("s", last_turns=20)]
