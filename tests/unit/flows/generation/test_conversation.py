"""What a model is told of a session's history."""

from __future__ import annotations

from typing import Any

import pytest

from flowstate_server.flows.generation.conversation import conversation, tool_name, user_has_spoken
from flowstate_server.flows.generation.prompt import Prompt
from flowstate_server.language_models import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolResult,
    UserMessage,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import encode_json
from flowstate_server.programs.history import HistoryItem


def item(
    kind: ItemKind, content: Any, *, role: str = "", name: str = "", request_id: str = "r"
) -> HistoryItem:
    if isinstance(content, str):
        content = {"parts": [{"type": "text", "text": content}]}
    made = Item("i", kind, 0, encode_json(content), role, name, frozenset((Audience.HISTORY,)))
    return HistoryItem.of(made, request_id, Micros(1))


def said(role: str, text: str, request_id: str = "r") -> HistoryItem:
    return item(ItemKind.MESSAGE, text, role=role, request_id=request_id)


def call(call_id: str, arguments: Any = None, name: str = "search") -> HistoryItem:
    return item(ItemKind.TOOL_CALL, {"call_id": call_id, "arguments": arguments or {}}, name=name)


def output(call_id: str, value: Any, name: str = "search") -> HistoryItem:
    return item(ItemKind.TOOL_OUTPUT, {"call_id": call_id, "output": value}, name=name)


def told(*history: HistoryItem) -> list[Message]:
    return conversation(Prompt("", None), history)


def test_instructions_come_first_and_the_question_last() -> None:
    history = [said("user", "hi"), said("assistant", "hello")]
    assert conversation(Prompt("Be kind.", "and now?"), history) == [
        SystemMessage("Be kind."),
        UserMessage("hi"),
        AssistantMessage("hello"),
        UserMessage("and now?"),
    ]


def test_instructions_alone_are_what_is_asked() -> None:
    assert conversation(Prompt("Tell a joke.", None), ()) == [UserMessage("Tell a joke.")]


def test_roles() -> None:
    roles = ("system", "developer", "customer", "user")
    assert told(*(said(role, role) for role in roles)) == [
        SystemMessage("system"),
        SystemMessage("developer"),
        UserMessage("customer"),
        UserMessage("user"),
    ]


def test_a_tool_call_is_a_part_of_what_was_said_before_it() -> None:
    assert told(
        said("user", "?"), said("assistant", "I look."), call("a", {"q": 1}), output("a", "rain")
    ) == [
        UserMessage("?"),
        AssistantMessage("I look.", (ToolCall("a", "search", '{"q":1}'),)),
        ToolResult("a", "search", "rain"),
    ]


def test_calls_of_one_answer_stay_together_and_their_results_follow_in_their_order() -> None:
    assert told(
        call("a"), call("b"), output("b", {"n": 2}), output("a", 1), call("c"), output("c", None)
    ) == [
        AssistantMessage("", (ToolCall("a", "search", "{}"), ToolCall("b", "search", "{}"))),
        ToolResult("a", "search", "1"),
        ToolResult("b", "search", '{"n":2}'),
        AssistantMessage("", (ToolCall("c", "search", "{}"),)),
        ToolResult("c", "search", "null"),
    ]


def test_results_follow_their_call_whatever_came_between() -> None:
    assert told(call("a"), said("assistant", "meanwhile"), said("user", "hm"), output("a", "x")) == [
        AssistantMessage("", (ToolCall("a", "search", "{}"),)),
        ToolResult("a", "search", "x"),
        AssistantMessage("meanwhile"),
        UserMessage("hm"),
    ]


def test_equal_ids_are_paired_in_their_order() -> None:
    assert [one.text for one in told(call("0"), output("0", "x"), call("0"), output("0", "y"))] == [
        "",
        "x",
        "",
        "y",
    ]


def test_halves_and_what_a_model_does_not_read_are_left_out() -> None:
    history = (
        call("never answered"),
        output("never asked", 1),
        item(ItemKind.REASONING, {"text": "hm"}),
        item(ItemKind.CUSTOM, {"chart": 1}, name="chart"),
        item(ItemKind.MESSAGE, {"parts": [{"type": "image", "url": "x"}]}, role="user"),
        item(ItemKind.MESSAGE, {"parts": []}, role="assistant"),
        said("user", "hi"),
    )
    assert told(*history) == [UserMessage("hi")]


def test_an_error_is_something_that_was_said() -> None:
    assert told(item(ItemKind.ERROR, {"message": "no stock"})) == [AssistantMessage("no stock")]


@pytest.mark.parametrize(
    ("given", "text"), [({"q": "é"}, '{"q":"é"}'), ("rain", '{"input":"rain"}'), ([1], '{"input":[1]}')]
)
def test_arguments_are_those_of_an_object(given: Any, text: str) -> None:
    answered = told(call("a", given), output("a", ""))[0]
    assert isinstance(answered, AssistantMessage)
    assert answered.tool_calls[0].arguments == text


@pytest.mark.parametrize(
    ("name", "told_name"),
    [("search_2", "search_2"), ("look it up", "look_it_up"), ("", "tool"), ("x" * 70, "x" * 64)],
)
def test_names_of_tools_are_such_as_providers_take(name: str, told_name: str) -> None:
    assert tool_name(name) == told_name


def test_the_user_speaks_in_the_running_request() -> None:
    assert user_has_spoken([said("user", "hi", "now")], "now")
    assert not user_has_spoken([said("user", "hi", "before"), said("assistant", "x", "now")], "now")
