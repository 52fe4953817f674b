"""Code of authors that raises, where it was asked whether a value fits, what is no way to refuse."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

from flowstate_server.errors import FlowStateError, StateValidationError, Violation
from flowstate_server.state.json_pointer import format_pointer

RAISED = "validator_raised"


def name_of(error: BaseException) -> str:
    """The name of its class, whatever that is."""
    try:
        return str(type(error).__name__)
    except BaseException:
        return "an exception without a name"


def raise_named(
    error: BaseException,
    scope: str,
    fields: Iterable[str],
    whose: str = "its validator",
    *,
    stored: bool = False,
) -> NoReturn:
    """Raise ``error``, which code that validates ``fields`` has raised, with their names.

    An error is a bug of the code, and stays what it is: it has a note. What would end more than a call (SystemExit,
    KeyboardInterrupt, GeneratorExit, a cancellation that is none) refuses the value.

    Raises:
        StateValidationError: from ``error``, whose text may hold what was refused.
        Exception: ``error`` itself.
    """
    paths = sorted(format_pointer((name,)) for name in fields)
    if not paths or isinstance(error, FlowStateError):
        raise error
    if isinstance(error, Exception):
        with suppress(Exception):
            error.add_note(f"raised while the {scope} state was checked, at {', '.join(paths)}, by {whose}")
        raise error
    message = f"can't be checked: {whose} raised {name_of(error)}"
    violations = tuple([Violation(path, RAISED, message) for path in paths])
    raise StateValidationError(scope, violations, stored) from error
