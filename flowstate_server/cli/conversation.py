"""Events as a conversation: who said what, and quietly what happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from flowstate_client import Item, events
from flowstate_client.events import Event
from flowstate_server.cli.event_line import facts
from flowstate_server.cli.spoken_text import SpokenText
from flowstate_server.cli.terminal_text import plain, quoted

INDENT = 11
_SPOKEN = ("message", "reasoning")
_LABELS = {"user": "bold blue", "assistant": "bold green", "reasoning": "dim"}
_NEWS: dict[type[Event], str] = {
    events.RequestQueued: "queued",
    events.BlockCompleted: "block",
    events.RouterDecided: "router",
    events.ModelUsage: "model",
    events.ItemRemoved: "removed",
    events.StateChange: "state",
    events.ResourceChange: "resource",
    events.SessionMetadataChanged: "session",
    events.StatusUpdate: "status",
    events.CustomEvent: "event",
    events.Trimmed: "",
}


@dataclass(slots=True)
class _Speech:
    """What an item says, as far as it has come and as far as it was shown."""

    item: Item
    text: str = ""
    shown: int = 0
    done: bool = False
    line: SpokenText | None = None

    def finish(self, item: Item) -> None:
        text = _said_in(item)
        if not text.startswith(self.text):  # what was shown was not it
            self.end()
            self.shown = 0
        self.text, self.done = text, True

    def end(self) -> None:
        if self.line is not None:
            self.line.end()
            self.line = None


class Conversation:
    """Shows events on a terminal as they come.

    One item speaks at a time. What others say meanwhile is shown when it has ended, and goes on from there.
    """

    def __init__(self, console: Console, *, request_id: str = "") -> None:
        """``request_id``: one that was told already, and needs no line that says whose events follow."""
        self._console = console
        self._speeches: dict[str, _Speech] = {}
        self._speaking: _Speech | None = None
        self._request_id = request_id
        self._last_said = ""

    def show(self, event: Event) -> None:
        """Show ``event``, or keep it until it is its turn."""
        match event:
            case events.RequestCreated():
                action = f"{event.flow_kind}/{event.action}"
                self._head(event.request_id, f" {action} {event.time.astimezone():%H:%M:%S}")
            case events.ItemAdded(item=item):
                if item.kind in _SPOKEN:
                    self._speeches[item.item_id] = _Speech(item)
            case events.ItemDelta():
                if speech := self._speeches.get(event.item_id):
                    speech.text += event.text
                    self._go_on()
            case events.ItemDone(item=item) if item.kind in _SPOKEN:
                self._speeches.setdefault(item.item_id, _Speech(item)).finish(item)
                self._go_on()
            case events.ItemDone(item=item):
                self._head(event.request_id)
                self._tell(item)
            case events.TerminalEvent():
                self._end(event)
            case events.BlockFailed():
                self._head(event.request_id)
                self._say(f"· block {'/'.join(event.block_path)} failed: {_words(event)}", "red")
            case events.RequestInProgress() | events.BlockStarted():
                pass
            case _:
                self._head(event.request_id)
                self.note(_news(event))

    def close(self) -> None:
        """End the line that is being written, if there is one."""
        if self._speaking is not None:
            self._speaking.end()

    def note(self, text: str) -> None:
        """One quiet line, cut where the terminal ends."""
        self._make_room()
        line = Text(" " * INDENT + plain(text), style="dim")
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _say(self, text: str, style: str) -> None:
        """A whole text, over as many lines as it takes."""
        self._make_room()
        line = SpokenText(self._console, "", INDENT, style=style)
        line.write(text)
        line.end()

    def _make_room(self) -> None:
        if self._speaking is not None and self._speaking.line is not None:
            self._speaking.line.pause()

    def _head(self, request_id: str, more: str = "") -> None:
        """Say whose events follow, where it is another request than before."""
        if request_id and request_id != self._request_id:
            self._request_id = request_id
            self.note(f"request {request_id}{more}")

    def _tell(self, item: Item) -> None:
        content = item.content if isinstance(item.content, dict) else {}
        match item.kind:
            case "tool_call":
                self.note(f"→ {item.name} {quoted(content.get('arguments'))}")
            case "tool_output":
                self.note(f"← {item.name} {quoted(content.get('output'))}")
            case "error":
                self._say(f"error: {content.get('message', '')}", "red")
            case kind:
                self.note(f"{item.name or kind}: {quoted(item.content)}")

    def _go_on(self) -> None:
        """Show what can be shown of those who speak."""
        while (speech := self._speaking or self._next()) is not None:
            self._speaking = speech
            self._speak(speech)
            if not speech.done:
                return
            speech.end()
            self._last_said = speech.text
            del self._speeches[speech.item.item_id]
            self._speaking = None

    def _next(self) -> _Speech | None:
        return next((one for one in self._speeches.values() if one.text or one.done), None)

    def _speak(self, speech: _Speech) -> None:
        new, speech.shown = speech.text[speech.shown :], len(speech.text)
        if new:
            self._head(speech.item.request_id)
            speech.line = speech.line or self._line_of(speech.item)
            speech.line.write(new)

    def _line_of(self, item: Item) -> SpokenText:
        speaker = item.kind if item.kind == "reasoning" else item.role or item.kind
        label = plain(f"{speaker} ({item.name})" if item.name else speaker)
        style = "dim" if item.kind == "reasoning" else ""
        label_style = _LABELS.get(speaker, "bold")
        return SpokenText(self._console, label, INDENT, label_style=label_style, style=style)

    def _end(self, event: events.TerminalEvent) -> None:
        for speech in self._speeches.values():
            speech.done = speech.done or speech.item.request_id == event.request_id
        self._go_on()
        self._head(event.request_id)
        match event:
            case events.RequestCompleted():
                known = not event.output_omitted and event.output in (None, self._last_said)
                self.note(f"completed in {event.elapsed:.2f} s" + ("" if known else f": {_words(event)}"))
            case events.RequestFailed():
                self._say(f"failed after {event.elapsed:.2f} s: {_words(event)}", "bold red")
            case events.RequestAborted():
                self._say(f"aborted: {_words(event)}", "bold yellow")
            case _:
                self._say(f"interrupted: {_words(event)}", "bold red")


def _words(event: Event) -> str:
    return " ".join(facts(event))


def _news(event: Event) -> str:
    seconds = f"in {event.elapsed:.2f} s" if isinstance(event, events.BlockCompleted) else ""
    name = _NEWS.get(type(event), event.type)
    return " ".join(part for part in ("·", name, _words(event), seconds) if part)


def _said_in(item: Item) -> str:
    """The text of a message or of reasoning, with parts of other types as JSON."""
    parts: Any = item.content.get("parts") if isinstance(item.content, dict) else None
    if item.kind != "message" or not isinstance(parts, list):
        return item.text
    return "".join(
        str(part["text"]) if isinstance(part, dict) and part.get("type") == "text" else quoted(part)
        for part in parts
    )
