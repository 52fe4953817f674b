"""What a function that decides is given: state to read, and nothing to write with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar as PlainTypeVar, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.flows.resource_reading import CollectionReading, ResourceReading
from flowstate_server.flows.resources import Resource, ResourceCollection
from flowstate_server.programs.run_context import SessionIdentity, SessionItems, SessionMetadata

StateT_co = TypeVar("StateT_co", bound=BaseModel | None, default=Any, covariant=True)
SessionT_co = TypeVar("SessionT_co", bound=BaseModel | None, default=Any, covariant=True)
UserT_co = TypeVar("UserT_co", bound=BaseModel | None, default=Any, covariant=True)
OrgT_co = TypeVar("OrgT_co", bound=BaseModel | None, default=Any, covariant=True)
RequestT_co = TypeVar("RequestT_co", bound=BaseModel | None, default=Any, covariant=True)
T = PlainTypeVar("T")
M = PlainTypeVar("M", bound=BaseModel)


class ScopeReading(ABC, Generic[StateT_co]):
    """A state to read."""

    @property
    @abstractmethod
    def state(self) -> StateT_co:
        """The state as a model, read like attributes, with defaults and this request's own earlier writes.

        It is read-only, and so are the lists, dicts, sets and models in it. Reading a field that has neither value nor
        default raises ``StateFieldAbsentError``; :meth:`get` gives ``None`` for it.
        """

    @abstractmethod
    def get(self, field: str, /) -> Any:
        """The field's value, its default, or ``None``."""

    @property
    @abstractmethod
    def version(self) -> int:
        """The version that :attr:`state` shows; 0 for a state never written."""


class SessionReading(ScopeReading[StateT_co], Generic[StateT_co]):
    """The session of the running request, to read."""

    @property
    @abstractmethod
    def id(self) -> str: ...

    @property
    @abstractmethod
    def identity(self) -> SessionIdentity: ...

    @property
    @abstractmethod
    def metadata(self) -> SessionMetadata: ...

    @property
    @abstractmethod
    def items(self) -> SessionItems: ...


class ReadingContext(ABC, Generic[SessionT_co, UserT_co, OrgT_co, RequestT_co]):
    """What the functions of steps and routers decide by, beside the value: the request, and no way to change anything.

    The states have the fields that the flow's blocks declare. For the type checker annotate the parameter with the
    models, in this order: ``ctx: ReadingContext[Counted]``.
    """

    @property
    @abstractmethod
    def request_id(self) -> str: ...

    @property
    @abstractmethod
    def session(self) -> SessionReading[SessionT_co]: ...

    @property
    @abstractmethod
    def user(self) -> ScopeReading[UserT_co]: ...

    @property
    @abstractmethod
    def org(self) -> ScopeReading[OrgT_co] | None:
        """The org that the session is bound to; ``None`` when it is bound to none."""

    @property
    @abstractmethod
    def request(self) -> ScopeReading[RequestT_co]:
        """State of this one execution."""

    @overload
    def resource(self, declared: Resource[M], /) -> ResourceReading[M]: ...

    @overload
    def resource(self, declared: ResourceCollection[M], /) -> CollectionReading[M]: ...

    @abstractmethod
    def resource(self, declared: Any, /) -> Any:
        """A resource, or a collection, that the block declares in its ``resources=[...]``.

        Raises:
            FlowDefinitionError: it does not.
            RuntimeError: it is the org's, and there is none.
        """

    @abstractmethod
    def block_state(self, model: type[M], /) -> ScopeReading[M]:
        """The state of this execution of the block, which declares ``state=``.

        Raises:
            BlockStateUnavailableError: the block declares no such state.
        """

    @abstractmethod
    def parent_state(self, model: type[M], /) -> ScopeReading[M]:
        """The state of the execution that runs this one; the block declares ``parent_state=``.

        Raises:
            BlockStateUnavailableError: the block does not declare that, or here the one that runs it has no such state.
        """

    @abstractmethod
    def sequencer_state(self, model: type[M], /) -> ScopeReading[M]:
        """The state of the nearest sequencer around this execution that has one; the block declares
        ``sequencer_state=``.

        Raises:
            BlockStateUnavailableError: the block does not declare that, or here there is no such state.
        """

    @abstractmethod
    def target(self, name: str, model: type[M], /) -> ScopeReading[M] | None:
        """The state of another block, to read; the block declares ``targets=``.

        That is the execution of this name that has ended last, of those that the same parent has run; else the one of
        this name around this execution. In a parallel the name is that of the dict. ``None`` if there is none, or it
        has no such state.

        Raises:
            BlockStateUnavailableError: the block does not declare that.
            AmbiguousBlockNameError: several blocks of this name are around this execution.
        """

    @abstractmethod
    def dependency(self, asked: type[T], /) -> T:
        """What the application's lifespan yields, by its type; in a test what ``dependencies=`` gives.

        Raises:
            DependencyNotFoundError: nothing of that type is there, or several things are.
        """
