"""State: what may not be stored or read, and what a write expected in vain."""

from __future__ import annotations

from flowstate_server.errors.arguments import Violation
from flowstate_server.errors.kinds import (
    FlowStateError,
    InvalidArgumentError,
    PreconditionError,
    ServiceError,
)
from flowstate_server.errors.reasons import Reason


class StateValidationError(InvalidArgumentError):
    """The {scope} state would break its schema."""

    reason = Reason.SCHEMA_VIOLATION
    scope: str
    violations: tuple[Violation, ...]
    stored: bool = False
    """Whether this is about what is stored already, and was read."""

    def __str__(self) -> str:
        places = "; ".join(f"{v.path}: {v.message}".removeprefix(": ") for v in self.violations[:3])
        if self.stored:
            mend = (
                "write the field anew (patch_state), remove it (unset_state), or give the flow's scope a"
                " generation= and an upgrade= that makes what other deploys stored fit"
            )
            return f"The stored {self.scope} state does not fit its schema (any more): {places}; {mend}"
        return f"The {self.scope} state would break its schema: {places}"


class VersionMismatchError(ServiceError):
    """The {record} is at version {current}, the call expects {expected}.

    ``expected`` is the version asked for, or ``exists`` / ``absent`` / ``another incarnation``. ``record`` is what it
    is called, by default the state of the scope. Where a store refused a batch, ``newest`` is the record as the batches
    beside it have left it, for whoever tries again at once.
    """

    reason = Reason.VERSION_MISMATCH
    scope: str
    expected: str
    current: int
    record: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.record = self.record or f"{self.scope} state"
        self.newest: object = None

    def __str__(self) -> str:
        match self.expected:
            case "exists":
                return f"There is no {self.record}, and the call expects one."
            case "absent":
                return f"The {self.record} exists, at version {self.current}, and the call expects none."
            case "another incarnation":
                return f"The {self.record} that the call expects was deleted; the newest version is {self.current}."
        return super().__str__()


class ConcurrentModificationError(ServiceError):
    """Gave up after {attempts} lost races on the {scope} state."""

    reason = Reason.WRITE_CONFLICT
    scope: str
    attempts: int


class StateTestFailedError(PreconditionError):
    """The test at "{path}" does not hold."""

    reason = Reason.STATE_TEST_FAILED
    path: str


class StateTypeConflictError(PreconditionError):
    """{path}: {problem}."""

    reason = Reason.STATE_TYPE_CONFLICT
    path: str
    problem: str


class ScopeUnavailableError(PreconditionError):
    """The {scope} record is not available to this request: {problem}."""

    reason = Reason.SCOPE_UNAVAILABLE
    scope: str
    problem: str


class StateFieldAbsentError(FlowStateError):
    """The {scope} field {field} has no value and no default."""

    scope: str
    field: str


class BlockStateUnavailableError(FlowStateError):
    """{problem}"""

    problem: str
