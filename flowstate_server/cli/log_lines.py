"""How records become lines: as text for people, or as JSON for what collects them.

Whatever a line is given, it stays one: what follows on further lines (a traceback) is indented, and control characters
are escaped, so that no text of anybody's can look like a line of its own.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from flowstate_server.log_context import IDS, LogIds

_logger = logging.getLogger(__name__)

_SHOWN = {
    "request_id": "request",
    "session_id": "session",
    "user_id": "user",
    "tenant": "tenant",
    "correlation_id": "correlation",
}
"""The ids of lines of text, which are for people; JSON has all."""

# Those that end a line somewhere, that steer a terminal, or that turn the direction of what follows.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_BREAKS = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_PLAIN = re.compile(r'[^\s"=]+')
_OF_RECORDS = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", *IDS))


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def log_to_stderr(level: str, format: LogFormat, worker: int | None = None) -> None:
    """What anybody in this process logs from ``level`` on goes to stderr, and with it what Python would print there:
    warnings, and exceptions that end a thread or that nobody can catch. Where several processes serve, each line has
    the number of its ``worker``."""
    root = logging.getLogger()
    if root.handlers:  # somebody has decided already
        return
    handler = _StderrLines(sys.stderr)
    handler.addFilter(LogIds())
    handler.setFormatter(JsonLines(worker) if format is LogFormat.JSON else TextLines(worker))
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable


class _StderrLines(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """What stderr does not take (a terminal that has gone, a closed pipe, a full disk) is left out: the usual
        complaint would go to stderr as well."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        name = "" if ended.thread is None else ended.thread.name
        _logger.error("an exception has ended the thread %s", name, exc_info=ended.exc_value)


def _log_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    text = ignored.err_msg or "an exception is ignored in"
    _logger.error("%s: %r", text, ignored.object, exc_info=ignored.exc_value)


class TextLines(logging.Formatter):
    """Time, level, logger, message, ids: ``request=…``. Tracebacks follow, indented."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._worker = "" if worker is None else f" worker={worker}"

    def format(self, record: logging.LogRecord) -> str:
        record.message = _message(record)
        record.asctime = self.formatTime(record, self.datefmt)
        line = _escaped(self.formatMessage(record)) + "".join(
            f" {shown}={_quoted(value)}"
            for name, shown in _SHOWN.items()
            if (value := str(getattr(record, name, "")))
        )
        return "\n  ".join((line + self._worker, *_further_lines(self, record)))


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, the ids that are known, the line's ``extra``, its exception."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        fields |= {name: value for name in IDS if (value := getattr(record, name, ""))}
        if self._worker is not None:
            fields["worker"] = self._worker
        if exception := _exception(self, record):
            fields["exception"] = exception
        if record.stack_info:
            fields["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in _OF_RECORDS:
                fields[f"extra_{name}" if name in fields else name] = value
        return "{" + ", ".join(f"{_json(name)}: {_json(value)}" for name, value in fields.items()) + "}"


def _message(record: logging.LogRecord) -> str:
    """Also of a line whose arguments do not fit, or can't be printed."""
    try:
        return record.getMessage()
    except BaseException as error:
        return f"{_text(record.msg)} [its arguments could not be put in: {type(error).__name__}]"


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_text and record.exc_info:
        exc_info = record.exc_info
        record.exc_text = _safely(lambda: formatter.formatException(exc_info), "the traceback")
    return record.exc_text or ""


def _further_lines(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    texts = (_exception(formatter, record), record.stack_info or "")
    return [
        _escaped(line, _UNSAFE_BUT_BREAKS) for text in texts if text for line in text.rstrip("\n").split("\n")
    ]


def _escaped(text: str, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    return unsafe.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: str) -> str:
    return _escaped(value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False))


def _json(value: Any) -> str:
    """What has no JSON form becomes text, as a whole."""
    try:
        return json.dumps(value, allow_nan=False, default=_text)
    except BaseException:
        return json.dumps(_text(value))


def _text(value: Any) -> str:
    return _safely(lambda: str(value), f"a {type(value).__name__}")


def _safely(make: Callable[[], str], what: str) -> str:
    try:
        return make()
    except BaseException as error:
        return f"<{what} can't be printed: {type(error).__name__}>"
