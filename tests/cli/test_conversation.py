"""Events as a conversation, and text while it comes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from flowstate_client import (
    BlockCompleted,
    CustomEvent,
    Event,
    Item,
    ItemAdded,
    ItemDelta,
    ItemDone,
    RequestAborted,
    RequestCompleted,
    RequestCreated,
    RequestFailed,
    RequestInterrupted,
    Scope,
    StateChange,
    Trimmed,
)
from flowstate_client.models import Failure
from flowstate_server.cli.conversation import Conversation
from flowstate_server.cli.spoken_text import SpokenText
from tests.cli.flowstate_command import flowstate, started, told
from tests.cli.shell_terminal import typing


def shown(events: Sequence[Event], width: int = 42) -> list[str]:
    """The lines that somebody sees."""
    file = io.StringIO()
    conversation = Conversation(Console(file=file, width=width, force_terminal=True, color_system=None))
    for event in events:
        conversation.show(event)
    conversation.close()
    return file.getvalue().splitlines()


def item(item_id: str = "i", text: str | None = None, **fields: Any) -> Item:
    content = None if text is None else {"parts": [{"type": "text", "text": text}]}
    made = Item(item_id, "message", "assistant", "", content, ("client",), "r", 0, None)
    return replace(made, **fields)


def begins(item_id: str = "i", **fields: Any) -> Event:
    return ItemAdded(item=item(item_id, **fields), request_id="r")


def says(text: str, item_id: str = "i") -> Event:
    return ItemDelta(item_id=item_id, text=text, request_id="r")


def ends(text: str, item_id: str = "i", **fields: Any) -> Event:
    return ItemDone(item=item(item_id, text, **fields), request_id="r")


HEAD = "           request r"
NEWS = StateChange(request_id="r", scope=Scope.SESSION, version=2, changed={"/n": 1})

CONVERSATIONS: dict[str, tuple[list[Event], list[str]]] = {
    "a streamed message, wrapped at words": (
        [
            begins(),
            says("It is a fine"),
            says(" day for a long"),
            says(" walk."),
            ends("It is a fine day for a long walk."),
        ],
        [HEAD, "assistant  It is a fine day for a long", "           walk."],
    ),
    "one that came whole": ([ends("Hi.", role="user")], [HEAD, "user       Hi."]),
    "news in the middle": (
        [begins(), says("It is"), NEWS, says(" clear."), ends("It is clear.")],
        [HEAD, "assistant  It", "           · state session version 2 /n=1", "           is clear."],
    ),
    "two that speak at once": (
        [
            *(begins("a"), begins("b"), says("One ", "a"), says("Other ", "b"), says("two.", "a")),
            *(ends("One two.", "a"), says("three.", "b"), ends("Other three.", "b")),
        ],
        [HEAD, "assistant  One two.", "assistant  Other three."],
    ),
    "one that ended while another spoke": (
        [begins("a"), says("One ", "a"), ends("Other.", "b"), says("two.", "a"), ends("One two.", "a")],
        [HEAD, "assistant  One two.", "assistant  Other."],
    ),
    "the rest of what was joined late": (
        [begins(), says("Hello "), ends("Hello there, all of you.")],
        [HEAD, "assistant  Hello there, all of you."],
    ),
    "what turns out to be something else": (
        [begins(), says("Helo "), ends("Hello.")],
        [HEAD, "assistant  Helo", "assistant  Hello."],
    ),
    "pieces of a beginning that nobody saw": ([says("lo."), ends("Hello.")], [HEAD, "assistant  Hello."]),
    "reasoning": (
        [ItemDone(item=item(kind="reasoning", role="", content={"text": "Hm."}), request_id="r")],
        [HEAD, "reasoning  Hm."],
    ),
    "a name": ([ends("Hi.", name="planner")], [HEAD, "assistant (planner)", "           Hi."]),
    "a picture beside text": (
        [ends("", content={"parts": [{"type": "text", "text": "See "}, {"type": "image", "url": "u"}]})],
        [HEAD, 'assistant  See {"type": "image", "url":', '           "u"}'],
    ),
    "an error": (
        [ItemDone(item=item(kind="error", role="", content={"message": "no station"}), request_id="r")],
        [HEAD, "           error: no station"],
    ),
    "a custom item": (
        [ItemDone(item=item(kind="custom", role="", name="map", content={"zoom": 2}), request_id="r")],
        [HEAD, '           map: {"zoom": 2}'],
    ),
    "a block and an event": (
        [
            BlockCompleted(request_id="r", block_path=("a", "b"), elapsed=0.5),
            CustomEvent(type="custom", name="x", data=1),
        ],
        [HEAD, "           · block a/b in 0.50 s", '           · event "x" 1'],
    ),
    "an output that was not said": (
        [ends("Hi."), RequestCompleted(request_id="r", output={"n": 1}, elapsed=0.5)],
        [HEAD, "assistant  Hi.", '           completed in 0.50 s: {"n": 1}'],
    ),
    "an output that was said": (
        [ends("Hi."), RequestCompleted(request_id="r", output="Hi.", elapsed=0.5)],
        [HEAD, "assistant  Hi.", "           completed in 0.50 s"],
    ),
    "an end in the middle of a word": (
        [begins(), says("Hel"), RequestInterrupted(request_id="r", reason="the server has gone")],
        [HEAD, "assistant  Hel", '           interrupted: "the server has', '           gone"'],
    ),
    "a failure": (
        [RequestFailed(request_id="r", failure=Failure("CLOSED", "not today"), elapsed=1.0)],
        [HEAD, "           failed after 1.00 s: CLOSED:", '           "not today"'],
    ),
    "an abort": (
        [RequestAborted(request_id="r", reason="enough")],
        [HEAD, '           aborted: "enough"'],
    ),
    "two requests of a session": (
        [ends("Hi."), ItemDone(item=item("o", "Ho.", request_id="q"), request_id="q")],
        [HEAD, "assistant  Hi.", "           request q", "assistant  Ho."],
    ),
    "events that are gone": (
        [Trimmed(type="trimmed", first=1, last=2)],
        ["           · of the events 1 to 2 those k…"],
    ),
}


@pytest.mark.parametrize(("events", "lines"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_it_reads_like_a_conversation(events: list[Event], lines: list[str]) -> None:
    assert [line.rstrip() for line in shown(events)] == lines


def test_a_request_begins_with_what_it_is() -> None:
    (line,) = shown([RequestCreated(request_id="r", flow_kind="chat", action="say")], 80)
    assert line.startswith("           request r chat/say ")


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000], ids="pieces of {}".format)
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two", "three four"]),
        ("a\n\n  indented\nb", ["a", "", "  indented", "b"]),
        ("alongwordthatdoesnotfit and more", ["alongwordt", "hatdoesnot", "fit and", "more"]),
        ("一二三四五六七八", ["一二三四五", "六七八"]),
        ("tab\there\r\n", ["tab", "here"]),
        ("\x1b[2Jx\x9b\u202e", ["\\u001b[2Jx", "\\u009b\\u20", "2e"]),
        ("", []),
    ],
    ids=["words", "lines", "long", "wide", "tab", "controls", "nothing"],
)
def test_text_is_laid_out_the_same_in_whatever_pieces_it_comes(
    text: str, lines: list[str], pieces: int
) -> None:
    file = io.StringIO()
    spoken = SpokenText(Console(file=file, width=12, color_system=None), "", 2)
    for start in range(0, len(text), pieces):
        spoken.write(text[start : start + pieces])
    spoken.end()
    assert [line.removeprefix("  ") for line in file.getvalue().splitlines()] == lines


def test_words_show_as_soon_as_they_are_whole() -> None:
    file = io.StringIO()
    spoken = SpokenText(Console(file=file, width=40, color_system=None), "assistant", 11)
    spoken.write("It is cl")
    assert file.getvalue() == "assistant  It is"
    spoken.write("ear")
    assert file.getvalue() == "assistant  It is"
    spoken.write(" in")
    assert file.getvalue() == "assistant  It is clear"
    spoken.pause()
    spoken.write(" Lisbon")
    spoken.end()
    assert file.getvalue() == "assistant  It is clear\n           in Lisbon\n"


def test_a_tail_on_a_terminal_shows_words_as_they_come_and_ends_with_ctrl_c(slow_server: str) -> None:
    call = ("call", "slow", "murmur", '"word by word"', "--request-id", "murmured", "--detach")
    assert flowstate(*call, "--server", slow_server).code == 0
    command = (sys.executable, "-m", "flowstate_server", "tail", "murmured", "--server", slow_server)
    with typing(*command) as terminal:
        terminal.wait_for("assistant  word by word")  # and the run goes on
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
        assert terminal.shown.strip() == "^C"


def test_a_warning_in_the_middle_has_a_line_of_its_own() -> None:
    with started("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0") as server:
        address = str(told(server, "listening")["address"])
        call = ("call", "slow", "murmur", '"word by word"', "--session", "s", "--detach")
        assert flowstate(*call, "--server", address).code == 0
        command = (sys.executable, "-m", "flowstate_server", "tail", "--session", "s", "--server", address)
        with typing(*command) as terminal:
            terminal.wait_for("assistant  word by word")
            server.kill()
            terminal.wait_for(f"\r\nflowstate: waiting for the server at {address}")
            terminal.wait_for(" s\r\n")
            lines = " ".join(terminal.shown[terminal.shown.index("flowstate: ") :].splitlines())
            assert "which has not answered for" in lines, "broken between words"
            terminal.type("\x03")
            assert terminal.wait_for_end() == 130
