"""What a history is made of: calls, each with what it asked for, what it was answered, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.writes import Precondition

Key = tuple[str, ...]
"""Names one record. A ``ScopeKey`` is one; over the wire it is ``("user", "ada", "chat")`` or the like."""


@frozen
class Write:
    """Operations on one record, committed as one version, if ``precondition`` holds."""

    key: Key
    operations: tuple[Operation, ...]
    precondition: Precondition | None = None


@frozen
class Delete:
    """The record becomes a tombstone, which keeps its version."""

    key: Key
    precondition: Precondition | None = None


@frozen
class Read:
    """The newest state of a record; all reads of one call are one consistent read."""

    key: Key


Part = Write | Delete | Read


@frozen
class Answer:
    """What one part was answered: the record's version after it, and whether the part changed it.

    ``exists`` and ``state`` are ``None`` where the answer did not tell them.
    """

    version: int
    changed: bool = False
    exists: bool | None = None
    state: JsonObject | None = None


class Outcome(StrEnum):
    """``UNKNOWN``: an error that does not say, a time-out, a killed client. The call may have happened once, at any
    time after it began, or not at all."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Call:
    """One call of a client: all its parts happen at one moment between ``began`` and ``ended``, or none does.

    Times are of :func:`time.monotonic_ns`, one clock for all processes of a machine; ``ended`` says nothing of a call
    whose outcome is unknown. Calls with the same ``idempotency_key`` are repeats: they happen once, together.
    ``replayed`` is ``None`` where the client was not told. ``refusal`` names the error of a refused call, and
    ``current`` the version that a failed precondition reported of a call with one part.
    """

    id: str
    parts: tuple[Part, ...]
    began: int
    ended: int = 0
    outcome: Outcome = Outcome.UNKNOWN
    answers: tuple[Answer, ...] = ()
    idempotency_key: str = ""
    replayed: bool | None = None
    refusal: str = ""
    current: int | None = None

    def __str__(self) -> str:
        parts = ", ".join(
            f"{type(part).__name__.lower()} {'/'.join(part.key)}"
            + (f" {list(part.operations)}" if isinstance(part, Write) else "")
            + (f" -> {self.answers[number].version}" if number < len(self.answers) else "")
            for number, part in enumerate(self.parts)
        )
        ended = str(self.ended) if self.ended else "?"
        return f"call {self.id} [{self.began}..{ended}] {self.refusal or self.outcome}: {parts}"


@dataclass(slots=True)
class History:
    """Calls of any number of clients, in any order."""

    calls: list[Call] = field(default_factory=list)

    @classmethod
    def merged(cls, histories: Iterable[History]) -> History:
        return cls([call for history in histories for call in history.calls])

    @property
    def answered(self) -> Sequence[Call]:
        return [call for call in self.calls if call.outcome is Outcome.ANSWERED]
