from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from flowstate.v1 import events_pb2, types_pb2
from flowstate_client import Item as ClientItem
from flowstate_server.model.clock import Micros
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.programs.history import (
    HistoryItem,
    Tokens,
    Turns,
    quarter_of_characters,
    select_history,
)

BOTH = (Audience.CLIENT, Audience.HISTORY)


def item(
    request_id: str, kind: ItemKind, content: Json, audiences: Iterable[Audience] = BOTH, id: str = "item_1"
) -> HistoryItem:
    stored = Item(
        item_id=id,
        kind=kind,
        index=0,
        content=encode_json(content),
        role="assistant",
        name="a name",
        audiences=frozenset(audiences),
    )
    return HistoryItem.of(stored, request_id, Micros(1_700_000_000_000_000))


def message(request_id: str, text: str, audiences: Iterable[Audience] = BOTH) -> HistoryItem:
    return item(request_id, ItemKind.MESSAGE, {"parts": [{"type": "text", "text": text}]}, audiences)


def call(request_id: str, call_id: str) -> HistoryItem:
    return item(request_id, ItemKind.TOOL_CALL, {"call_id": call_id, "arguments": {}})


def output(request_id: str, call_id: str) -> HistoryItem:
    return item(request_id, ItemKind.TOOL_OUTPUT, {"call_id": call_id, "output": 1})


def texts(items: Iterable[HistoryItem]) -> list[str]:
    return [one.text for one in items]


def calls(items: Iterable[HistoryItem]) -> list[tuple[str, str, str]]:
    return [(one.request_id, one.kind.value, one.call_id) for one in items]


def test_shows_an_item_parsed() -> None:
    read = message("req_1", "hello")
    assert (read.id, read.kind, read.role, read.name) == ("item_1", ItemKind.MESSAGE, "assistant", "a name")
    assert (read.request_id, read.audiences) == ("req_1", frozenset(BOTH))
    assert read.content == {"parts": [{"type": "text", "text": "hello"}]}
    assert read.create_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (ItemKind.MESSAGE, {"parts": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        (ItemKind.MESSAGE, {"parts": [{"type": "image", "text": "no"}, "no", {"type": "text"}]}, ""),
        (ItemKind.MESSAGE, {"parts": "no"}, ""),
        (ItemKind.MESSAGE, "no", ""),
        (ItemKind.REASONING, {"text": "because"}, "because"),
        (ItemKind.REASONING, {"text": 1}, ""),
        (ItemKind.TOOL_CALL, {"call_id": "c", "text": "no"}, ""),
        (ItemKind.CUSTOM, ["no"], ""),
    ],
)
def test_joins_the_text_of_messages_and_reasoning(kind: ItemKind, content: Json, text: str) -> None:
    assert item("req_1", kind, content).text == text
    told = events_pb2.Item(kind=kind.value, content=types_pb2.Value(json=json.dumps(content)))
    assert ClientItem.from_proto(told).text == text, "the client reads it as blocks do"


def test_only_tools_have_a_call_id() -> None:
    assert call("req_1", "c1").call_id == output("req_1", "c1").call_id == "c1"
    assert item("req_1", ItemKind.CUSTOM, {"call_id": "c1"}).call_id == ""
    assert item("req_1", ItemKind.TOOL_CALL, {"call_id": 1}).call_id == ""
    assert item("req_1", ItemKind.TOOL_CALL, "c1").call_id == ""


WINDOW = [
    message("req_1", "one" * 4),  # 3 tokens
    message("req_2", "two" * 4),
    message("req_2", "2two" * 3),  # 6 in all
    message("req_3", "three"),  # 2
    message("running", "now" * 1000),
]


@pytest.mark.parametrize(("n", "kept"), [(0, 0), (1, 1), (2, 3), (3, 4), (99, 4)])
def test_turns_keeps_the_newest_requests_and_the_running_one(n: int, kept: int) -> None:
    assert list(select_history(WINDOW, Turns(n), running="running")) == WINDOW[4 - kept :]


@pytest.mark.parametrize(("n", "kept"), [(0, 1), (1, 1), (2, 1), (7, 1), (8, 3), (10, 3), (11, 4), (1000, 4)])
def test_tokens_keeps_whole_turns_and_at_least_the_newest(n: int, kept: int) -> None:
    assert list(select_history(WINDOW, Tokens(n), running="running")) == WINDOW[4 - kept :]


def test_without_a_limit_the_whole_window_stays() -> None:
    assert list(select_history(WINDOW, running="running")) == WINDOW
    assert select_history([], Turns(3), running="running") == ()


def test_the_counter_can_be_replaced() -> None:
    seen: list[str] = []

    def count(text: str) -> int:
        seen.append(text)
        return 1

    window = [message("req_1", "hello"), item("req_2", ItemKind.CUSTOM, {"a": 1}), message("running", "now")]
    assert list(select_history(window, Tokens(2, count), running="running")) == window
    assert seen == ["hello", '{"a":1}']
    assert [quarter_of_characters("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_only_what_is_meant_for_the_model_is_given_and_counted() -> None:
    window = [
        message("req_1", "old"),
        message("req_1", "shown" * 1000, [Audience.CLIENT]),
        message("req_2", "inside" * 1000, [Audience.INTERNAL]),
        message("running", "now"),
        message("running", "shown", [Audience.CLIENT]),
    ]
    assert texts(select_history(window, running="running")) == ["old", "now"]
    assert texts(select_history(window, Tokens(0), running="running")) == ["old", "now"]
    assert texts(select_history(window, Turns(1), running="running")) == ["now"]


def test_of_requests_that_ran_at_once_the_one_that_was_last_is_the_newest() -> None:
    window = [message("req_1", "a"), message("req_2", "b"), message("req_1", "c"), message("running", "d")]
    assert texts(select_history(window, Turns(1), running="running")) == ["a", "c", "d"]


@pytest.mark.parametrize("limit", [Turns, Tokens])
@pytest.mark.parametrize("n", [-1, 1.5, True, "3"])
def test_refuses_other_sizes(limit: Any, n: Any) -> None:
    with pytest.raises(ValueError, match=f"{limit.__name__} takes a whole number of at least 0"):
        limit(n)


def test_halves_of_a_tool_call_cut_by_the_window_are_dropped() -> None:
    window = [call("req_1", "c1"), output("req_2", "c1"), message("req_2", "done"), message("running", "now")]
    assert list(select_history(window, running="running")) == window
    assert texts(select_history(window, Turns(1), running="running")) == ["done", "now"]


def test_a_call_that_is_answered_by_the_running_request_stays() -> None:
    window = [call("req_1", "c1"), call("req_1", "c2"), output("running", "c1")]
    assert calls(select_history(window, Turns(1), running="running")) == [
        ("req_1", "tool_call", "c1"),
        ("running", "tool_output", "c1"),
    ]


def test_f7_an_id_names_a_call_within_its_request_only() -> None:
    window = [
        call("req_1", "c1"),
        call("req_2", "c1"),
        output("req_2", "c1"),
        output("req_3", "c2"),
        call("req_3", "c2"),
        call("req_4", "c1"),
        call("req_4", "c1"),
        output("req_4", "c1"),
    ]
    kept = list(select_history(window, running="running"))
    assert kept == [window[1], window[2], window[5], window[7]]


def test_f7_an_output_in_the_next_request_is_of_the_call_that_has_none() -> None:
    window = [call("req_1", "c1"), output("req_1", "c1"), call("req_2", "c1"), output("running", "c1")]
    assert list(select_history(window, running="running")) == window


def test_a_call_of_the_running_request_waits_for_its_output() -> None:
    window = [message("req_1", "x"), call("running", "c1"), output("running", "c0")]
    assert calls(select_history(window, running="running"))[1:] == [("running", "tool_call", "c1")]


def test_a_tool_item_without_a_call_id_can_not_be_cut() -> None:
    window = [item("req_1", ItemKind.TOOL_OUTPUT, "free form"), message("running", "now")]
    assert list(select_history(window, running="running")) == window


def test_f7_a_call_whose_output_is_beyond_the_window_or_in_no_turn_is_left_out() -> None:
    window = [
        *(message("cut", "1"), call("cut", "one")),
        *(output("answers", "one"), call("answers", "two"), call("answers", "two"), output("answers", "two")),
        *(call("running", "two"),),
    ]
    assert calls(select_history(window, Turns(1), running="running")) == [
        ("answers", "tool_call", "two"),
        ("answers", "tool_output", "two"),
        ("running", "tool_call", "two"),
    ]
    assert calls(select_history(window, running="running")) == [
        ("cut", "message", ""),
        ("cut", "tool_call", "one"),
        ("answers", "tool_output", "one"),
        ("answers", "tool_call", "two"),
        ("answers", "tool_output", "two"),
        ("running", "tool_call", "two"),
    ]


def test_f7_an_output_ahead_of_its_call_and_one_too_many_are_left_out() -> None:
    window = [output("a", "1"), call("a", "1"), call("b", "2"), output("b", "2"), output("b", "2")]
    assert calls(select_history(window, running="none")) == [
        ("b", "tool_call", "2"),
        ("b", "tool_output", "2"),
    ]


def test_f7_a_half_that_is_not_for_the_model_takes_the_other_half_along() -> None:
    hidden = item("a", ItemKind.TOOL_OUTPUT, {"call_id": "1", "output": 1}, (Audience.CLIENT,))
    assert select_history([call("a", "1"), hidden], running="none") == ()


turn_items = st.lists(st.tuples(st.booleans(), st.sampled_from("xyz")), max_size=6)


@settings(deadline=None)
@given(st.lists(turn_items, max_size=4), st.integers(0, 5))
def test_f7_whatever_the_turns_hold_the_model_gets_calls_that_are_followed_by_their_outputs(
    turns: list[list[tuple[bool, str]]], limit: int
) -> None:
    window = [
        (call if is_call else output)(f"req_{place}", call_id)
        for place, parts in enumerate(turns)
        for is_call, call_id in parts
    ]
    running = f"req_{len(turns) - 1}"
    shown = calls(select_history(window, Turns(limit), running=running))
    waiting: Counter[str] = Counter()
    for _, kind, call_id in shown:
        waiting[call_id] += 1 if kind == "tool_call" else -1
        assert waiting[call_id] >= 0, "an output without a call"
    of_running = Counter(
        call_id for request_id, kind, call_id in shown if request_id == running and kind == "tool_call"
    )
    assert waiting.total() <= of_running.total()
    assert all(waiting[call_id] <= of_running[call_id] for call_id in waiting)


def appended(turn: int, text: str) -> HistoryItem:
    return replace(message("", text), turn=turn)


def test_what_each_call_appended_from_outside_is_a_turn() -> None:
    window = [
        appended(1, "one"),
        appended(1, "answer"),
        appended(2, "two"),
        replace(message("req_1", "three"), turn=3),
        appended(4, "four"),
        message("req_2", "now"),
    ]
    assert texts(select_history(window, Turns(1), running="req_2")) == ["four", "now"]
    assert texts(select_history(window, Turns(3), running="req_2")) == ["two", "three", "four", "now"]
    assert texts(select_history(window, Tokens(2), running="req_2")) == ["four", "now"]
    assert texts(select_history(window, Tokens(4), running="req_2")) == ["two", "three", "four", "now"]
