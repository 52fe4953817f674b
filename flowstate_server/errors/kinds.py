"""What every error is, and the kinds that have several errors below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, dataclass_transform

from flowstate_server.errors.reasons import Reason

PACKAGE = "flowstate_server.errors"


@dataclass_transform(eq_default=False)
class FlowStateError(Exception):
    """FlowState could not do what was asked."""

    __module__ = PACKAGE

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(eq=False, repr=False)(cls)
        if cls.__module__.startswith(f"{PACKAGE}."):
            cls.__module__ = PACKAGE  # where everybody has it from; tracebacks show it

    def __str__(self) -> str:
        template = " ".join((type(self).__doc__ or "").split("\n\n")[0].split())
        return template.format_map(self.__dict__).removeprefix(": ")  # where there is no path to name

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.__dict__))


class ServiceError(FlowStateError):
    """The call failed.

    Where a store refused a batch, ``refused_write`` is the position in it of the write at fault. Where a commit of
    several records is refused, ``mutation`` says which of them is at fault.
    """

    reason: ClassVar[Reason]

    def __post_init__(self) -> None:
        self.refused_write: int | None = None
        self.mutation: MutationAtFault | None = None


def _rebuild(cls: type[FlowStateError], fields: dict[str, Any]) -> FlowStateError:
    error = cls.__new__(cls)
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True, slots=True)
class MutationAtFault:
    """The mutation of a commit that was refused: its position, and the scope kind and id of its record as sent."""

    index: int
    scope: str
    owner: str


class InvalidArgumentError(ServiceError):
    """The call is not valid."""


class NotFoundError(ServiceError):
    """Not found."""


class PreconditionError(ServiceError):
    """The present state forbids the call."""
