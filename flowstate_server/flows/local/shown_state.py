"""The state of a record to read, typed by the model that the block declares."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, Protocol

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.flows.call_forms import OPERATIONS
from flowstate_server.flows.local.begun_calls import TracksCalls
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.model.records import StateRecord
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.schemas.pydantic.schema import ModelSchema

StateT = TypeVar("StateT", bound=BaseModel, default=Any)


class Recorded(Protocol):
    """What has the newest record that was seen."""

    @property
    def record(self) -> StateRecord | ResourceRecord: ...


class ShownState(TracksCalls, Generic[StateT]):
    """The reading half of a handle: it shows ``_source``, anew whenever that has another record."""

    _schema: ModelSchema
    _model: type[StateT]
    _source: Recorded
    _view: StateT | None = None
    _viewed: StateRecord | ResourceRecord | None = None

    @property
    def state(self) -> StateT:
        record = self._source.record
        if self._view is None or self._viewed is not record:
            self._view = self._schema.view(self._model, record.state)
            self._viewed = record
        return self._view

    @state.setter
    def state(self, value: object) -> NoReturn:
        __tracebackhide__ = True
        raise AttributeError(
            f"{self.written}.state is read-only: replace it with {self.written}.set_state(...), "
            f"change fields with {self.written}.patch_state(...)"
        )

    def get(self, field: str, /) -> Any:
        return self.state.get(field)  # type: ignore[attr-defined]  # every view has it beside the model's fields

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("_") or hasattr(type(self), name):  # then what it raised itself is to be seen
            return object.__getattribute__(self, name)
        if self._schema.declares(name):
            hint = f"; did you mean {self.written}.state.{name}?"
        elif name.endswith("_state"):
            # What is near in letters is not in meaning: append_state is push_state here.
            hint = f"; there are {', '.join(OPERATIONS)} and atomic_state"
        else:
            hint = did_you_mean(name, dir(type(self)))
        raise AttributeError(f"{self.written} has no {name}{hint}", name=name, obj=None)

    @property
    def version(self) -> int:
        return self._source.record.version
