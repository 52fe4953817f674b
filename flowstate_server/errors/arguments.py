"""What is wrong with what a caller sent, and with the values in it."""

from __future__ import annotations

from dataclasses import dataclass

from flowstate_server.errors.kinds import InvalidArgumentError
from flowstate_server.errors.reasons import Reason


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one place of an input breaks.

    ``path`` is a JSON Pointer (a message field path for protobuf fields), ``rule`` pydantic's error type or our own
    word for it, ``message`` says what was expected. None of the three ever holds the refused value.
    """

    path: str
    rule: str
    message: str


class ValidationFailedError(InvalidArgumentError):
    """{summary}"""

    reason = Reason.VALIDATION_FAILED
    violations: tuple[Violation, ...]

    @property
    def summary(self) -> str:
        return "; ".join(f"{v.path or '/'}: {v.message}" for v in self.violations[:3]) or "invalid"

    def __str__(self) -> str:
        return self.summary


class MalformedMessageError(InvalidArgumentError):
    """The bytes are not a valid message of the method's request type."""

    reason = Reason.MALFORMED_MESSAGE


class MetadataInvalidError(InvalidArgumentError):
    """Call metadata {key}: {problem}."""

    reason = Reason.METADATA_INVALID
    key: str
    problem: str


class JsonInvalidError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_INVALID
    path: str
    problem: str


class JsonLimitError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_LIMIT_EXCEEDED
    path: str
    problem: str


class JsonNumberError(InvalidArgumentError):
    """{path}: {problem}."""

    reason = Reason.JSON_NUMBER_UNREPRESENTABLE
    path: str
    problem: str


class PathInvalidError(InvalidArgumentError):
    """The path "{path}" {problem}."""

    reason = Reason.PATH_INVALID
    path: str
    problem: str


class PageTokenInvalidError(InvalidArgumentError):
    """The page token was not issued for this query."""

    reason = Reason.PAGE_TOKEN_INVALID
