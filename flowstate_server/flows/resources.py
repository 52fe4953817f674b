"""Resources as authors declare them: named containers of a state and a content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar as PlainTypeVar, get_args, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.names import check_name
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.name_overlap import name_of_parts, pattern_problems
from flowstate_server.programs.resource_names import covers, is_pattern
from flowstate_server.programs.resources import ResourceDescription, ShownResource
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.pydantic_1 import no_model_class
from flowstate_server.schemas.pydantic.schema import ModelSchema

StateT = TypeVar("StateT", bound=BaseModel, default=Any)
M = PlainTypeVar("M", bound=BaseModel)

ResourceScope = Literal["session", "user", "org"]
"""Who may own a resource."""

Projection = Callable[[Any], Any] | Callable[[Any], Awaitable[Any]]
"""Computes what clients see of a resource's state, a dict of JSON, from that state and nothing else; sync or async."""


@dataclass(frozen=True, kw_only=True)
class ResourceView:
    """What clients may see of a resource; of one without a view they see nothing, nor that there is one.

    Exactly one of the first three is given.

    Args:
        expose: names of fields of its state, passed on as they read.
        exclude: names of fields; all others are passed on.
        data: a function of its state that gives what clients see, as a dict of JSON, within one second.
        content: clients may read the content, too.
        live: ``resource_change`` brings clients what they see of a change; else it says name and version only.

    Raises:
        FlowDefinitionError: none, or several, of the first three; a name twice in one list.
    """

    expose: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    data: Projection | None = None
    content: bool = False
    live: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("expose", "exclude", "data") if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise FlowDefinitionError(f"ResourceView takes one of expose, exclude and data, not {found}")
        data: object = self.data
        if data is not None and not callable(data):
            problem = f"data takes a function, not {type(data).__name__}"
            raise FlowDefinitionError(f"ResourceView: {problem}")
        for name in ("expose", "exclude"):
            names = getattr(self, name)
            if isinstance(names, str):
                raise FlowDefinitionError(f"ResourceView: {name} takes a list of field names, not one string")
            if names is not None:
                checked = tuple(
                    dict.fromkeys(check_name(f"ResourceView: a name in {name}", one) for one in names)
                )
                object.__setattr__(self, name, checked)

    def shown(self, fields: Iterable[str]) -> ShownResource:
        """What a description says of it, for a state of these fields."""
        exposed = self.expose or ()
        if self.exclude is not None:
            exposed = [name for name in fields if name not in self.exclude]
        return ShownResource(tuple(exposed), self.data is not None, self.content, self.live)


@dataclass(frozen=True, kw_only=True)
class DeclaredResource(Generic[StateT]):
    """What :class:`Resource` and :class:`ResourceCollection` share. Two that are declared alike are equal."""

    name: str
    state: type[StateT]
    scope: ScopeKind = ScopeKind.SESSION
    client: ResourceView | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", _scope(self.written, self.scope))
        model: object = self.state
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise FlowDefinitionError(f"{self.written}: state {no_model_class(model)}")
        view: object = self.client
        if view is None:
            return
        if not isinstance(view, ResourceView):
            raise FlowDefinitionError(f"{self.written}: client takes a ResourceView, not {view!r}")
        for name in (*(view.expose or ()), *(view.exclude or ())):
            if name not in self.state.model_fields:
                problem = f'its view names "{name}", but {self.state.__qualname__} has no such field'
                hint = did_you_mean(name, self.state.model_fields)
                raise FlowDefinitionError(f"{self.written}: {problem}{hint}")

    @property
    def written(self) -> str:
        """How it is declared, for errors."""
        return f'resource "{self.name}"'

    def covers(self, name: str) -> bool:
        """Whether it is about a resource called ``name``."""
        return covers(self.name, name)

    @cached_property
    def schema(self) -> ModelSchema:
        """What may be stored as its state.

        Raises:
            FlowDefinitionError: the model can't declare state.
        """
        models = [] if self.state is BaseModel else [Declaration(self.state, self.written)]
        schema = merge_declarations(self.written, models, written=f"ctx.resource({self.name})")
        if schema.drawn:
            problem = (
                f'field "{schema.drawn[0]}" has a default_factory that gives another value each time, which a '
                "resource can't have: leave it out, and give the value where the resource is created"
            )
            raise FlowDefinitionError(f"{self.written}: {problem}")
        return schema

    @cached_property
    def described(self) -> ResourceDescription:
        """It as plain data."""
        return ResourceDescription(
            name=self.name,
            scope=self.scope,
            schema=self.schema,
            shown=None if self.client is None else self.client.shown(self.schema.fields),
        )

    def __repr__(self) -> str:
        return f"<{self.scope} {self.written}>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Resource(DeclaredResource[StateT], Generic[StateT]):
    """A single resource; made by :func:`resource`."""

    def __post_init__(self) -> None:
        if is_pattern(_checked(self.written, self.name)):
            raise FlowDefinitionError(f"{self.written} is a pattern: declare a collection, by resources(...)")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True, repr=False)
class ResourceCollection(DeclaredResource[StateT], Generic[StateT]):
    """Resources whose names fit a pattern; made by :func:`resources`."""

    max_instances: int | None = None
    evict: Literal["oldest"] | None = None

    def __post_init__(self) -> None:
        if not is_pattern(_checked(self.written, self.name)):
            problem = "is one name: declare it by resource(...), or give a pattern such as files/*"
            raise FlowDefinitionError(f"{self.written} {problem}")
        super().__post_init__()
        limit: object = self.max_instances
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise FlowDefinitionError(f"{self.written}: max_instances must be a whole number of at least 1")
        evict: object = self.evict
        if evict not in (None, "oldest"):
            raise FlowDefinitionError(f'{self.written}: evict takes "oldest", not {evict!r}')
        if evict is not None and limit is None:
            raise FlowDefinitionError(f"{self.written}: evict needs max_instances")

    @property
    def written(self) -> str:
        return f'resources "{self.name}"'

    def named(self, **parts: str) -> str:
        """The name with these parts: of ``resources("{topic}/notes")`` that of ``named(topic="rust")``.

        Raises:
            ValueError: they are not the parts of the pattern, or one can't be a level.
        """
        return name_of_parts(self.name, parts)

    @cached_property
    def described(self) -> ResourceDescription:
        return ResourceDescription(
            name=self.name,
            scope=self.scope,
            schema=self.schema,
            shown=None if self.client is None else self.client.shown(self.schema.fields),
            max_instances=self.max_instances,
            evicts=self.evict is not None,
        )


AnyResource = Resource[Any] | ResourceCollection[Any]


@overload
def resource(
    name: str, *, state: type[M], scope: ResourceScope = "session", client: ResourceView | None = None
) -> Resource[M]: ...


@overload
def resource(
    name: str, *, scope: ResourceScope = "session", client: ResourceView | None = None
) -> Resource[BaseModel]: ...


def resource(
    name: str,
    *,
    state: type[Any] = BaseModel,
    scope: ResourceScope = "session",
    client: ResourceView | None = None,
) -> Resource[Any]:
    """Declare a single resource, for blocks and flows to name in their ``resources=[…]``::

        artifact = resource("artifact", state=Artifact, client=ResourceView(expose=["title"], content=True, live=True))

    Args:
        name: 1 to 512 bytes without control characters, unique among the scope's in every flow that uses it.
        state: the model of its state; without one it has a content only.
        scope: whose it is: the session's, the user's or the org's.
        client: what clients may see of it; nothing, unless it is given.

    Raises:
        FlowDefinitionError: one of them can't be; the message says why.
    """
    return Resource(name=name, state=state, scope=scope, client=client)  # type: ignore[arg-type]  # made one


@overload
def resources(
    pattern: str,
    *,
    state: type[M],
    scope: ResourceScope = "session",
    client: ResourceView | None = None,
    max_instances: int | None = None,
    evict: Literal["oldest"] | None = None,
) -> ResourceCollection[M]: ...


@overload
def resources(
    pattern: str,
    *,
    scope: ResourceScope = "session",
    client: ResourceView | None = None,
    max_instances: int | None = None,
    evict: Literal["oldest"] | None = None,
) -> ResourceCollection[BaseModel]: ...


def resources(
    pattern: str,
    *,
    state: type[Any] = BaseModel,
    scope: ResourceScope = "session",
    client: ResourceView | None = None,
    max_instances: int | None = None,
    evict: Literal["oldest"] | None = None,
) -> ResourceCollection[Any]:
    """Declare a collection of resources, which have the names that fit a pattern.

    Args:
        pattern: names with levels in between ``/``: ``*`` stands for one level, ``**`` for one or more, ``{topic}`` for
            one level that has a name. No two declarations of a scope may cover the same name in one flow.
        state, scope, client: as of :func:`resource`, for each of them.
        max_instances: how many an owner may have; beyond, creating one raises ``TooManyResourcesError``.
        evict: ``"oldest"``: the one that was created first goes instead, in the same commit.

    Raises:
        FlowDefinitionError: one of them can't be; the message says why.
    """
    return ResourceCollection(
        name=pattern,
        state=state,
        scope=scope,  # type: ignore[arg-type]  # made one
        client=client,
        max_instances=max_instances,
        evict=evict,
    )


def check_resources(value: object, where: str) -> tuple[AnyResource, ...]:
    """``value`` if it is a list of declarations.

    Raises:
        FlowDefinitionError: naming ``where``.
    """
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = tuple(value)
        if all(isinstance(one, Resource | ResourceCollection) for one in found):
            return found
        bad = next(one for one in found if not isinstance(one, Resource | ResourceCollection))
        problem = f"not {bad!r}" if isinstance(bad, str) else f"not {type(bad).__name__}"
    else:
        problem = f"as a list, not {type(value).__name__}"
    raise FlowDefinitionError(
        f"{where}: resources takes what resource(...) and resources(...) give, {problem}"
    )


def _checked(written: str, name: object) -> str:
    if not isinstance(name, str):
        raise FlowDefinitionError(f"the name of a resource must be a string, not {type(name).__name__}")
    for problem in pattern_problems(name):
        raise FlowDefinitionError(f"{written}: a name {problem}")
    return name


def _scope(written: str, scope: str) -> ScopeKind:
    if scope not in get_args(ResourceScope):
        raise FlowDefinitionError(f'{written}: scope must be "session", "user" or "org", not {scope!r}')
    return ScopeKind(scope)
