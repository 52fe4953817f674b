"""Resources ahead of a run in a test, and what it has left of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from flowstate_server.engine.calls.resources import (
    ResourceAnswer,
    ResourcePut,
    ResourceQuery,
    ResourceRef,
    Shown,
)
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.engine.engine import Engine
from flowstate_server.flows.flow import Flow
from flowstate_server.flows.resource_handles import Content, as_bytes
from flowstate_server.flows.resources import AnyResource, DeclaredResource, Resource
from flowstate_server.model.identity import Principal
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.schema import ModelSchema

M = TypeVar("M", bound=BaseModel)

Owners = Mapping[ScopeKind, str]
"""The id of each scope that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceBefore:
    """A resource that is there before a run, with a state and a content."""

    state: BaseModel | Mapping[str, Any] | None = None
    content: Content | None = None
    media_type: str | None = None


Given = ResourceBefore | BaseModel | Mapping[str, Any] | str | bytes
GivenResources = Mapping[Any, Given]
"""By name, or by the declaration of a single one: a state, a content, or :class:`ResourceBefore` with both."""


@dataclass(frozen=True, slots=True, repr=False)
class ResourceAfter:
    """A resource when the run had ended. ``stored`` is its state in JSON, without the defaults that ``state`` shows;
    ``content`` is ``None`` if it has over 1 MiB."""

    name: str
    scope: ScopeKind
    version: int
    stored: JsonObject
    content: bytes | None
    media_type: str
    model: type[BaseModel]
    schema: ModelSchema

    @property
    def state(self) -> Any:
        """The state as its model, untyped."""
        return self.schema.view(self.model, self.stored)

    def state_as(self, model: type[M]) -> M:
        """The state as its model, for the type checker.

        Raises:
            ValueError: it is declared with another one.
        """
        if model is not self.model:
            raise ValueError(f"the state of {self.name} is {self.model.__name__}, not {model.__name__}")
        return self.schema.view(model, self.stored)

    @property
    def text(self) -> str:
        """The content as text."""
        return (self.content or b"").decode()

    def __repr__(self) -> str:
        return f"<{self.scope} resource {self.name}, version {self.version}>"


class FlowResources:
    """The resources of one flow's owners, in a test."""

    def __init__(self, engine: Engine, flow: Flow, tester: Principal) -> None:
        self._engine = engine
        self._flow = flow
        self._tester = tester

    def by_scope(self, given: GivenResources) -> dict[ScopeKind, dict[str, Given]]:
        """``given`` by the scope that owns it.

        Raises:
            ValueError: the flow declares no such resource, or several of one name.
        """
        found: dict[ScopeKind, dict[str, Given]] = {}
        for key, value in given.items():
            name = key.name if isinstance(key, DeclaredResource) else key
            found.setdefault(self._declared(key).scope, {})[name] = value
        return found

    async def put(self, scope: ScopeKind, owner: str, given: Mapping[str, Given]) -> None:
        __tracebackhide__ = True
        target = ScopeTarget(scope, owner, self._flow.kind)
        for name, value in given.items():
            before = _before(value)
            declared = next(one for one in self._flow.resources if one.scope is scope and one.covers(name))
            state = declared.schema.fields_json({} if before.state is None else before.state, "")
            if not isinstance(state, dict):
                raise ValueError(f"{name}: a state is an object of fields, not {type(before.state).__name__}")
            content = None if before.content is None else as_bytes(before.content)
            put = ResourcePut(
                ResourceRef(target, name), state=state, content=content, media_type=before.media_type
            )
            await self._engine.resources.put(self._tester, put)

    async def after(self, owners: Owners) -> dict[str, ResourceAfter]:
        """All that there are by now, by name: of one name in several scopes that of the session, else of the user."""
        found: dict[str, ResourceAfter] = {}
        for scope in (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG):
            if scope in owners and any(one.scope is scope for one in self._flow.resources):
                for one in await self._of(ScopeTarget(scope, owners[scope], self._flow.kind)):
                    found.setdefault(one.name, one)
        return found

    async def _of(self, target: ScopeTarget) -> list[ResourceAfter]:
        found: list[ResourceAfter] = []
        token = ""
        while True:
            page = await self._engine.resources.list(self._tester, ResourceQuery(target, page_token=token))
            for answer in page.resources:
                name = answer.record.key.name
                declared = next(
                    (one for one in self._flow.resources if one.scope is target.kind and one.covers(name)),
                    None,
                )
                if declared is not None:  # it may be another flow's
                    ref = ResourceRef(target, name)
                    whole = await self._engine.resources.get(self._tester, ref, Shown.FULL)
                    found.append(_after(declared, whole))
            token = page.next_page_token
            if not token:
                return found

    def _declared(self, key: str | Resource[Any]) -> AnyResource:
        __tracebackhide__ = True
        known = self._flow.resources
        found: Sequence[AnyResource] = [
            one for one in known if (one == key if isinstance(key, DeclaredResource) else one.covers(key))
        ]
        name = key.name if isinstance(key, DeclaredResource) else key
        if not found:
            which = nearest_or_known(name, [one.name for one in known])
            raise ValueError(f'flow "{self._flow.kind}" declares no resource {name}{which}')
        if len(found) > 1:
            raise ValueError(
                f'flow "{self._flow.kind}" declares {name} in several scopes: give the declaration'
            )
        return found[0]


def _before(value: Given) -> ResourceBefore:
    if isinstance(value, ResourceBefore):
        return value
    if isinstance(value, str | bytes):
        return ResourceBefore(content=value)
    return ResourceBefore(state=value)


def _after(declared: AnyResource, answer: ResourceAnswer) -> ResourceAfter:
    record = answer.record
    whole = record.content is None or len(answer.content) == record.content.size
    return ResourceAfter(
        name=record.key.name,
        scope=declared.scope,
        version=record.version,
        stored=record.state,
        content=answer.content if whole else None,
        media_type=record.media_type,
        model=declared.state,
        schema=declared.schema,
    )
