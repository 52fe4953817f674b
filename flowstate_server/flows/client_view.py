"""What clients may see of a scope."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic

from typing_extensions import TypeVar

from flowstate_server.errors import ActionError, FlowDefinitionError, StateFieldAbsentError
from flowstate_server.flows.names import check_name
from flowstate_server.flows.timed_calls import TimedCalls
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import Json
from flowstate_server.model.records import Failure
from flowstate_server.programs.author_code import AT_WORK, does_work, other_work, readable, told_by
from flowstate_server.programs.stuck_calls import StuckError
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state.code_raised import name_of

StateT = TypeVar("StateT", default=Any)

TIME_LIMIT = 1.0
"""Seconds that a derived value may take."""

MAX_NAMES = 20
"""An error lists no more of the fields that there are."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View(Generic[StateT]):
    """All that a derived value is computed from: the scope's state, with defaults, and its resources.

    ``state`` has the fields of the flow's merged schema; annotate a function ``View[SomeModel]`` to have those that it
    reads type-checked. ``resources`` has the states of the single resources that the flow declares in the scope, by
    name; ``None`` where there is none::

        def title(view: View[Chat]) -> str:
            artifact = view.resources["artifact"]
            return "untitled" if artifact is None else artifact.title
    """

    state: StateT
    resources: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


Derivation = Callable[[View[Any]], Any] | Callable[[View[Any]], Awaitable[Any]]
"""Computes a derived value, JSON or what pydantic makes JSON of, from a view and nothing else; sync or async."""


class ClientView:
    """What clients may see of a scope; of anything not named here nothing leaves the server on the client plane.

    Args:
        expose: names of top-level state fields, passed on as the schema reads them.
        derived: functions by name, each computing a value from a :class:`View` within one second. Sync functions run
            in a thread. A failing one is reported to clients under its name, the other values are served. Of one that
            does not come back at most two calls are left hanging; then it fails at once until one of them ends.

    Raises:
        FlowDefinitionError: a name is in both, or is empty or has control characters.
    """

    def __init__(self, expose: Iterable[str] = (), derived: Mapping[str, Derivation] | None = None) -> None:
        if isinstance(expose, str):
            raise FlowDefinitionError("expose takes a list of field names, not one string")
        self.expose = tuple(dict.fromkeys(check_name("an exposed name", name) for name in expose))
        self.derived: Mapping[str, Derivation] = MappingProxyType(dict(derived or {}))
        for name, function in self.derived.items():
            check_name("a derived value's name", name)
            if not callable(function):
                raise FlowDefinitionError(
                    f'the derived value "{name}" needs a function, not {type(function).__name__}'
                )
            _check_takes_view(name, function)
        self._calls = {name: TimedCalls(call, "flowstate-derived") for name, call in self.derived.items()}
        if both := sorted(set(self.expose) & set(self.derived)):
            raise FlowDefinitionError(f"client names can't be exposed and derived at once: {', '.join(both)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that clients may see, exposed names first."""
        return self.expose + tuple(self.derived)

    def __bool__(self) -> bool:
        return bool(self.expose or self.derived)

    async def derive(self, name: str, view: View[Any]) -> Json | Failure:
        """The derived value ``name``, or why there is none.

        A failure names its kind and never repeats the text of an exception, but for an ``ActionError``, whose words
        are meant for the client. The log has the traceback under the failure's ``error_id``.
        """
        return await computed(self._calls[name], f'derived value "{name}"', view)


def _check_takes_view(name: str, function: Derivation) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # it has none to read
        return
    try:
        signature.bind(None)
    except TypeError:
        called = getattr(function, "__name__", type(function).__name__)
        named = ", ".join(
            map(str, (one.replace(annotation=one.empty) for one in signature.parameters.values()))
        )
        raise FlowDefinitionError(
            f'the derived value "{name}" is computed from a View alone: write {called}(view), not {called}({named})'
        ) from None


@does_work
async def computed(calls: TimedCalls, what: str, given: object) -> Json | Failure:
    """What a function makes of ``given`` for clients, or why there is nothing; ``what`` names it.

    A failure is as of :meth:`ClientView.derive`.
    """
    work = other_work(what)
    before = AT_WORK.get()
    AT_WORK.set(work)
    try:
        return to_json(await calls.call(TIME_LIMIT, given), "")
    except StuckError as error:  # the log has been told of those that are stuck
        return Failure("INTERNAL", f"{_kind(what)} failed: {name_of(error)}")
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return derivation_failure(what, error)
    finally:
        AT_WORK.set(before)


def derivation_failure(what: str, error: BaseException) -> Failure:
    """What ``error`` is to those who asked for ``what``, such as ``derived value "label"``."""
    told = told_by(error)
    if isinstance(told, ActionError):
        try:
            details = to_json(dict(told.details), "/details")
            assert isinstance(details, dict)
            return Failure(told.code or "ACTION_FAILED", told.message, details, retryable=told.retryable)
        except BaseException as bad:
            told = bad
    text = f"{_kind(what)} failed: {name_of(told)}"
    if isinstance(told, StateFieldAbsentError):
        return Failure("INTERNAL", text)
    error_id = new_id("err_")
    _logger.error("%s failed (%s)", what, error_id, exc_info=readable(told), extra={"error_id": error_id})
    return Failure("INTERNAL", text, error_id=error_id)


def _kind(what: str) -> str:
    """What sort of value it is, which is all that is told of it."""
    kind, _, _ = what.partition(' "')
    return f"the {kind}"


NOTHING_SHOWN = ClientView()


def check_exposed(view: ClientView, where: str, fields: Iterable[str]) -> None:
    """Refuse exposed names that are not among ``fields``.

    Raises:
        FlowDefinitionError: naming them, ``where``, and which there are.
    """
    known = sorted(fields)
    if unknown := sorted(set(view.expose) - set(known)):
        there_are = ", ".join(known[:MAX_NAMES]) or "none"
        if len(known) > MAX_NAMES:
            there_are += f" and {len(known) - MAX_NAMES} more"
        problem = f"{where} exposes fields that no schema declares: {', '.join(unknown)}"
        raise FlowDefinitionError(f"{problem} (there are {there_are})")
