"""Logs: sequences without a hole, one end, and every reader sees the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.testing.history.violations import Kind, Violation


class ClientEvent(Protocol):
    """What ``flowstate_client.Event`` has of its place in the logs."""

    @property
    def sequence(self) -> int: ...

    @property
    def session_sequence(self) -> int: ...

    @property
    def type(self) -> str: ...


@frozen
class Entry:
    """An event in a log. ``content`` is whatever tells it from another event at the same place; compared by ``==``."""

    sequence: int
    type: str
    content: object = None


def entries_of(events: Iterable[EventRecord], *, of_session: bool = False) -> list[Entry]:
    """Events as a store has them, by their place in the request's log, or in the session's."""
    return [
        Entry(event.session_sequence if of_session else event.sequence, event.event.type.value, event)
        for event in events
    ]


def entries_of_client(events: Iterable[ClientEvent], *, of_session: bool = False) -> list[Entry]:
    """Events as a client was given them."""
    return [
        Entry(event.session_sequence if of_session else event.sequence, event.type, event) for event in events
    ]


def check_log(
    log: Sequence[Entry], *, name: str = "log", after: int = 0, holes: bool = False, ended: bool | None = True
) -> list[Violation]:
    """A log as one reader read it from behind ``after`` on: ``after + 1``, ``after + 2``, ... each once, in order.

    ``holes``: events may be missing, because they were swept or are not for this reader. ``ended``: the log has exactly
    one terminal event and it is the last; ``False``: it has none yet; ``None``: it has any number anywhere, as the log
    of a session has.
    """
    violations: list[Violation] = []
    last = after
    for entry in log:
        if entry.sequence <= last:
            detail = f"{entry.sequence} after {last}"
            violations.append(Violation(Kind.LOG_REPEAT, name, detail, (entry,)))
        elif entry.sequence > last + 1 and not holes:
            detail = f"{entry.sequence} after {last}"
            violations.append(Violation(Kind.LOG_HOLE, name, detail, (entry,)))
        last = max(last, entry.sequence)
    if ended is not None:
        violations += _check_end(log, name, ended)
    return violations


def _check_end(log: Sequence[Entry], name: str, ended: bool) -> Iterator[Violation]:
    ends = [entry for entry in log if EventType(entry.type).terminal]
    if len(ends) != ended:
        yield Violation(Kind.LOG_END, name, f"{len(ends)} terminal events", tuple(ends))
    elif ended and log[-1] is not ends[0]:
        yield Violation(Kind.LOG_END, name, "something follows the end", (ends[0], log[-1]))


def check_tails(
    tails: Sequence[Sequence[Entry]], *, name: str = "log", afters: Sequence[int] = (), holes: bool = False
) -> list[Violation]:
    """Several readers of one log, each from behind its own cursor (``afters``, or the start): none sees a hole or a
    repeat, and at one place all see the same event."""
    violations: list[Violation] = []
    known: dict[int, Entry] = {}
    for number, tail in enumerate(tails):
        after = afters[number] if afters else 0
        label = f"{name}, tail {number}"
        violations += check_log(tail, name=label, after=after, holes=holes, ended=None)
        for entry in tail:
            other = known.setdefault(entry.sequence, entry)
            if other != entry:
                violations.append(Violation(Kind.TAIL_DIFFERS, label, f"at {entry.sequence}", (other, entry)))
    return violations
