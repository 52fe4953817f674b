"""Checks of message fields, and the paths by which errors name them: ``mutations[2].ops[0].path``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    JsonInvalidError,
    JsonLimitError,
    JsonNumberError,
    MessageTooLargeError,
    ValidationFailedError,
    Violation,
)

MAX_DOCUMENT_REPLY = 3_584 * 1024
"""Bytes of state that one reply may hold, some room below the message limit."""


def invalid(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))


def required(path: str) -> ValidationFailedError:
    return invalid(path, "required", "must be set")


def page_size(asked: int, settings: EngineSettings) -> int:
    """The size of a page: 0 asks for the default, more than the maximum for the maximum."""
    if asked < 0:
        raise invalid("page_size", "range", "must not be negative")
    return min(asked or settings.default_page_size, settings.max_page_size)


def check_document_reply(size: int) -> None:
    if size > MAX_DOCUMENT_REPLY:
        raise MessageTooLargeError("The reply", size, MAX_DOCUMENT_REPLY)


@contextmanager
def under(field: str) -> Iterator[None]:
    """Name the fields in errors from within as parts of the message field ``field``."""
    try:
        yield
    except ValidationFailedError as error:
        placed = tuple(replace(one, path=_join(field, one.path)) for one in error.violations)
        raise ValidationFailedError(placed) from None
    except (JsonInvalidError, JsonLimitError, JsonNumberError) as error:
        raise type(error)(_join(field, error.path), error.problem) from None


def _join(field: str, path: str) -> str:
    if not path or path.startswith(f"{field}."):
        return path or field
    return f"{field}.{path.removeprefix('/')}"
