"""An event as one line for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from flowstate_client import events
from flowstate_client.events import Event
from flowstate_server.cli.telling import json_line, on_terminal
from flowstate_server.cli.terminal_text import named, plain, quoted

NOTICED = ("type", "request_id", "session_id", "first", "last", "cursor", "snapshot")
"""Fields of a notice that mean something."""

_STYLES = {"request": "bold", "item": "green", "state_change": "cyan", "block": "dim", "custom": "magenta"}


def event_line(event: Event, of_session: bool = False) -> Text:
    """``  12 14:02:11 item.delta      "Hello "``; text from the log is quoted, so that it can't move the cursor.

    The number is the event's place in the log that is shown, by which one goes on.
    """
    if isinstance(event, events.Trimmed):  # a notice, which has no place and time of its own
        line = Text(f"{'-':>5} {'-':<8} ", style="dim")
    else:
        place = event.session_sequence if of_session else event.sequence
        line = Text(f"{place:>5} {event.time.astimezone():%H:%M:%S} ", style="dim")
    name = event.type or type(event).__name__.lower()
    line.append(f"{plain(name):<21} ", style=_style(event, name))
    line.append(plain(" ".join(facts(event))))
    return line


def _style(event: Event, name: str) -> str:
    if isinstance(event, events.RequestFailed | events.RequestInterrupted | events.BlockFailed):
        return "bold red"
    return _STYLES.get(name, _STYLES.get(name.partition(".")[0], ""))


def facts(event: Event) -> Iterable[str]:
    """What ``event`` says, without its type, place and time."""
    match event:
        case events.RequestCreated():
            yield f"{event.flow_kind}/{event.action} in session {quoted(event.session_id)}"
        case events.RequestCompleted():
            yield "(output too long for the event)" if event.output_omitted else quoted(event.output)
        case events.RequestFailed() | events.BlockFailed():
            yield f"{event.failure.reason}: {quoted(event.failure.message)} {event.failure.error_id}".strip()
        case events.RequestAborted() | events.RequestInterrupted():
            yield quoted(event.reason)
        case events.ItemAdded() | events.ItemDone():
            yield " ".join(part for part in (event.item.kind, event.item.role, event.item.name) if part)
            if event.item.content is not None:
                yield quoted(_text_of(event.item.content))
        case events.ItemDelta():
            yield quoted(event.text if event.value is None else event.value)
        case events.StateChange():
            owner = f" {'/'.join(event.owner_path)}" if event.owner_path else ""
            yield f"{event.scope}{owner} version {event.version}"
            yield from (named(path, value) for path, value in event.changed.items())
            yield from (f"{name} removed" for name in event.removed)
            yield from (f"{name} may have changed" for name in event.stale)
        case events.StatusUpdate():
            yield (
                quoted(event.text) if event.progress is None else f"{event.progress:.0%} {quoted(event.text)}"
            )
        case events.RequestQueued():
            yield f"{event.ahead} ahead"
        case events.RouterDecided():
            yield f"{'/'.join(event.block_path)} to {quoted(event.route)}"
        case events.ModelUsage():
            yield f"{quoted(event.model)}: {event.input_tokens} tokens in, {event.output_tokens} out"
        case events.ItemRemoved():
            yield event.item_id
        case events.ResourceChange():
            yield f"{event.scope} {quoted(event.name)} {'deleted' if event.deleted else f'version {event.version}'}"
            yield from (named(path, value) for path, value in event.changed.items())
            yield from (f"{name} removed" for name in event.removed)
            yield from (f"{name} changed" for name in event.stale)
            yield from (f"{name} may have changed" for name in event.stale_derived)
            if event.content_changed:
                yield "content changed"
        case events.SessionMetadataChanged():
            yield ", ".join(event.paths)
        case events.CustomEvent():
            yield f"{quoted(event.name)} {quoted(event.data)}"
        case events.Trimmed():
            yield f"of the events {event.first} to {event.last} those kept for a short time only are gone"
        case _:
            yield "/".join(event.block_path)


def _text_of(content: Any) -> Any:
    """The text of a message that is nothing else, for a line is short; other content as it is."""
    parts = content.get("parts") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(parts, list) or not parts:
        return content
    if not all(isinstance(part, dict) and part.keys() == {"type", "text"} for part in parts):
        return content
    return "".join(str(part["text"]) for part in parts)


def event_printer(console: Console, *, of_session: bool) -> Callable[[Event], None]:
    """Prints each event: a line for people on a terminal, of JSON in a pipe."""
    if on_terminal(console.file):
        return lambda event: console.print(event_line(event, of_session), no_wrap=True, overflow="ellipsis")
    return lambda event: print(event_json(event), flush=True)


def event_json(event: Event) -> str:
    """Every field of ``event`` as one line of JSON; of a notice those that mean something."""
    value: Any = event
    if isinstance(event, events.Trimmed):
        value = {name: getattr(event, name) for name in NOTICED if getattr(event, name)}
    return json_line(value)
