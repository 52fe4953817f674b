"""A failure that something is made of."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from flowstate_server.programs.author_code import ends_run, told_by

V_co = TypeVar("V_co", covariant=True)


class Rescued(Generic[V_co]):
    """What a block of ``rescue`` is given: the failure, and the value that the failed step was given."""

    __slots__ = ("error", "value")

    def __init__(self, error: Exception, value: V_co) -> None:
        self.error = error
        self.value = value

    def __repr__(self) -> str:
        return f"<rescued {type(self.error).__name__}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


def may_be_rescued(error: BaseException) -> bool:
    """Not cancellation, nor what a run has to end by."""
    return isinstance(error, Exception) and not ends_run(error)


def failure_in(error: Exception) -> Exception:
    """What a rescue goes by: a group stands for its one known error."""
    told = told_by(error)
    return told if isinstance(told, Exception) else error
