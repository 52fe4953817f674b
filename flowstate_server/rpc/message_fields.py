"""Checks of message fields, and the paths by which errors name them: ``mutations[2].ops[0].path``."""

from __future__ import annotations

from dataclasses import replace

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


def check_document_reply(size: int) -> None:
    if size > MAX_DOCUMENT_REPLY:
        raise MessageTooLargeError("The reply", size, MAX_DOCUMENT_REPLY)


class under:
    """Name the fields in errors from within as parts of the message field ``field``."""

    __slots__ = ("_field",)

    def __init__(self, field: str) -> None:
        self._field = field

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ValidationFailedError):
            placed = tuple(replace(one, path=_join(self._field, one.path)) for one in error.violations)
            raise ValidationFailedError(placed) from None
        if isinstance(error, JsonInvalidError | JsonLimitError | JsonNumberError):
            raise type(error)(_join(self._field, error.path), error.problem) from None


def _join(field: str, path: str) -> str:
    if not path or path.startswith(f"{field}."):
        return path or field
    return f"{field}.{path.removeprefix('/')}"
