"""A session's log as a file: a line that tells whose it is, then an event a line."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from os import SEEK_END
from pathlib import Path, PurePosixPath

from flowstate_server.model.events import EventRecord
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.members import Parsed, line
from flowstate_server.stores.filesystem.names import log_path
from flowstate_server.stores.filesystem.records import members_of, record_of
from flowstate_server.stores.resident.damage import Incarnation
from flowstate_server.stores.resident.removals import Rewritten

_log = logging.getLogger(__name__)

_TOLD = frozenset(("session", "session_log_id"))
"""What the first line tells of all events."""


@dataclass(slots=True)
class EventLog:
    """``end`` is the length of what is committed, 0 for a log without a file; ``swept`` the newest event that a sweep
    took."""

    session: SessionKey
    log_id: str
    end: int = 0
    swept: int = 0

    @property
    def path(self) -> PurePosixPath:
        return log_path(self.session, self.log_id)

    @property
    def header(self) -> bytes:
        """The first line: which log this is, for file names may be cut."""
        session = self.session
        members = {"tenant": session.tenant, "session_id": session.session_id, "log_id": self.log_id}
        return line(members | ({"swept": self.swept} if self.swept else {}))

    def rewritten(self, text: bytes, events: Rewritten) -> bytes:
        """``text``, the log's, with other events in the places of these."""
        gone = [before.session_sequence for before, after in events if after is None]
        others = {after.session_sequence: event_line(after) for _, after in events if after is not None}
        header, *lines = (self.without(text, gone) if gone else text[: self.end]).splitlines(keepends=True)
        return b"".join(
            (header, *(others.get(_number(line, "session_sequence") or 0, line) for line in lines))
        )

    def without(self, text: bytes, swept: Collection[int]) -> bytes:
        """``text``, the log's, without the events of these places. What can't be understood stays."""
        _, *lines = text[: self.end].splitlines(keepends=True)
        self.swept = max(self.swept, *swept)
        return b"".join(
            (self.header, *(line for line in lines if _number(line, "session_sequence") not in swept))
        )


def event_line(event: EventRecord) -> bytes:
    return line(members_of(event, without=_TOLD, brief=True))


def event_lines(events: Iterable[EventRecord]) -> dict[Incarnation, list[bytes]]:
    lines: dict[Incarnation, list[bytes]] = {}
    for event in events:
        lines.setdefault((event.session, event.session_log_id), []).append(event_line(event))
    return lines


@dataclass(slots=True)
class LoadedLog:
    """The events of a log, and by their places those whose lines are damaged, with what is wrong."""

    events: list[EventRecord] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)


def load_log(folder: Path, files: Files, log: EventLog, newest: int | None) -> LoadedLog:
    """Read a log up to the event ``newest``, or to its end, and cut off what comes after.

    A damaged line is one of the events that are missing, if any are. Which place it had is a guess.
    """
    loaded = LoadedLog()
    path = folder / log.path
    if not path.exists():
        return loaded
    broken: list[bytes] = []  # lines since the last whole one
    last = 0
    with path.open("rb") as file:
        header = file.readline()
        log.end, log.swept = len(header), _number(header, "swept") or 0
        for text in file:
            event = _understood(log, text)
            if event is None:
                broken.append(text)
                continue
            if newest is not None and event.session_sequence > newest:
                break
            last = _put_damaged(path, files, log, loaded, broken, last)
            broken = []
            loaded.events.append(event)
            log.end += len(text)
            last = event.session_sequence
        length = file.seek(0, SEEK_END)
    missing = len(broken) if newest is None else max(0, newest - max(last, log.swept))
    last = _put_damaged(path, files, log, loaded, broken[:missing], last)
    if not (last or log.swept):
        log.end = 0  # nothing of it was ever committed
    elif length != log.end:
        files.write_at(path, log.end, b"")
    return loaded


def _put_damaged(
    path: Path, files: Files, log: EventLog, loaded: LoadedLog, lines: list[bytes], last: int
) -> int:
    for text in lines:
        if not text.endswith(b"\n"):  # or the next event would be appended to it
            files.write_at(path, log.end + len(text), b"\n")
            text += b"\n"
        last += 1
        log.end += len(text)
        loaded.damaged[last] = f"a line of {log.path} is damaged"
        _log.error("%s has a damaged line, of an event near %d", path, last)
    return last


def _understood(log: EventLog, text: bytes) -> EventRecord | None:
    """The event of a line that is whole."""
    try:
        if text.endswith(b"\n"):
            return record_of(EventRecord, Parsed(text), session=log.session, session_log_id=log.log_id)
    except (LookupError, TypeError, ValueError):
        pass
    return None


def log_id_of(path: Path) -> str:
    """Which log a file is, by its first line; empty if that can't be understood."""
    with path.open("rb") as file:
        text = file.readline()
    try:
        return str(Parsed(text)["log_id"])
    except (LookupError, ValueError):
        return ""


def _number(line: bytes, name: str) -> int | None:
    """A member of a line, if it can be understood so far."""
    try:
        values = decode_json(line)
    except ValueError:
        return None
    number = values.get(name) if isinstance(values, dict) else None
    return number if isinstance(number, int) else None
