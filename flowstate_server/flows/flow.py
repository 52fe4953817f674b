"""Flows: actions over state in four scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.action import Action
from flowstate_server.flows.block import Block
from flowstate_server.flows.bubbling import (
    check_shown_names,
    gather_resources,
    merge_schemas,
    reachable_blocks,
)
from flowstate_server.flows.client_view import ClientView, check_exposed
from flowstate_server.flows.concurrency import check_groups
from flowstate_server.flows.local.program import LocalProgram
from flowstate_server.flows.names import check_name
from flowstate_server.flows.resources import AnyResource, Resource, check_resources
from flowstate_server.flows.scope_config import Org, Request, Session, User
from flowstate_server.flows.state_places import check_block_states
from flowstate_server.flows.upgrade import compiled_upgrade
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import ActionDescription, FlowDescription, Generation, ShownNames
from flowstate_server.programs.program import HostedFlow
from flowstate_server.schemas.pydantic.schema import ModelSchema


@dataclass(frozen=True, eq=False, kw_only=True)
class Flow(HostedFlow):
    """A program that a server hosts; made by :func:`define_flow`, which says what the parts mean.

    ``schemas`` has all four scopes, ``client_views`` those that have something to show, ``state_models`` those for
    which the flow itself declares a model. ``blocks`` are all that its actions reach, each once, ``resources`` all that
    these and the flow declare. ``described`` and ``program`` are what the engine knows of all this.
    """

    actions: Mapping[str, Action[Any, Any]]
    blocks: tuple[Block[Any, Any], ...]
    schemas: Mapping[ScopeKind, ModelSchema]
    state_models: Mapping[ScopeKind, type[BaseModel]]
    client_views: Mapping[ScopeKind, ClientView]
    resources: tuple[AnyResource, ...] = ()

    @property
    def kind(self) -> str:
        return self.described.kind

    @property
    def description(self) -> str:
        return self.described.description

    @property
    def isolate_user_state(self) -> bool:
        return self.isolates(ScopeKind.USER)

    @property
    def isolate_org_state(self) -> bool:
        return self.isolates(ScopeKind.ORG)

    @property
    def history_window(self) -> int:
        return self.described.history_window

    @property
    def persist_state_changes(self) -> bool:
        return self.described.persist_state_changes

    @property
    def cas_attempts(self) -> int:
        return self.described.cas_attempts

    @property
    def revision(self) -> str:
        """A hash of everything that a client could see of the flow: the same in every process that defines it so."""
        return self.described.revision

    def isolates(self, scope: ScopeKind) -> bool:
        """Whether the flow keeps its own record of a scope that other flows share."""
        return self.described.isolates(scope)

    def __repr__(self) -> str:
        return f"<flow {self.kind}>"


def define_flow(
    kind: str,
    *,
    actions: Mapping[str, Action[Any, Any]],
    session: Session = Session(),  # noqa: B008 - frozen, like those below
    user: User = User(),  # noqa: B008
    org: Org = Org(),  # noqa: B008
    request: Request = Request(),  # noqa: B008
    description: str = "",
    isolate_user_state: bool = False,
    isolate_org_state: bool = False,
    history_window: int = 50,
    persist_state_changes: bool = False,
    cas_attempts: int = 8,
    resources: Iterable[AnyResource] = (),
) -> Flow:
    """Build a flow. The schema of each scope is merged from all blocks that its actions reach and its own models.

    Args:
        kind: its name on the server, 1 to 128 bytes without control characters.
        actions: what clients can call, by name.
        session, user, org, request: fields beyond those of the blocks, and what clients may see.
        description: for people and models that choose among flows.
        isolate_user_state, isolate_org_state: keep the flow's own user or org record apart from other flows'.
        history_window: completed turns that ``ctx.session.items`` looks back on at most.
        persist_state_changes: keep ``state_change`` events like the others, instead of sweeping them after a while.
        cas_attempts: how often ``atomic_state`` tries, but for 2 s at least, before it raises
            ``ConcurrentModificationError``.
        resources: beyond those of its blocks, for clients and services to read and write.

    Raises:
        SchemaConflictError: two declarations of one field, or of one resource, can't be merged; it names both.
        FlowDefinitionError: anything else that can't be; the message says what.
    """
    check_name("a flow's kind", kind)
    given: object = actions
    if not isinstance(given, Mapping):
        raise FlowDefinitionError(
            f'flow "{kind}": actions must be a dict of actions by name, {{"say": action(...)}}, '
            f"not a value of type {type(given).__name__}"
        )
    if not actions:
        raise FlowDefinitionError(f'flow "{kind}" needs at least one action')
    for name, action in actions.items():
        check_name(f'flow "{kind}": an action\'s name', name)
        _check_made(kind, f'action "{name}"', action, Action)
    check_groups(kind, {name: action.concurrency.described for name, action in actions.items()})
    _check_count(kind, "history_window", history_window, 0)
    _check_count(kind, "cas_attempts", cas_attempts, 1)
    _check_made(kind, "session", session, Session)
    _check_made(kind, "user", user, User)
    _check_made(kind, "org", org, Org)
    _check_made(kind, "request", request, Request)
    configs = (request, session, user, org)
    blocks = reachable_blocks(action.block for action in actions.values())
    own_models = {config.kind: config.state for config in configs if config.state is not None}
    schemas = merge_schemas(kind, blocks, own_models)
    check_block_states(kind, [action.block for action in actions.values()])
    generations = {
        config.kind: Generation(config.generation, compiled_upgrade(config.upgrade, schemas[config.kind]))
        for config in (session, user, org)
        if config.generation > 1
    }
    declared = gather_resources(kind, blocks, check_resources(resources, f'flow "{kind}"'))
    views = {config.kind: config.client_view for config in configs if config.client_view}
    for scope, view in views.items():
        check_exposed(view, f'flow "{kind}": the {scope} scope', schemas[scope].fields)
    shown = {scope: ShownNames(view.expose, tuple(view.derived)) for scope, view in views.items()}
    check_shown_names(kind, declared, shown)
    named = MappingProxyType({name: action.named(name) for name, action in actions.items()})
    isolated = {ScopeKind.USER: isolate_user_state, ScopeKind.ORG: isolate_org_state}
    described = FlowDescription(
        kind=kind,
        actions=MappingProxyType({name: _described(action) for name, action in named.items()}),
        schemas=MappingProxyType(schemas),
        shown=MappingProxyType(shown),
        description=description,
        isolated=frozenset(scope for scope, alone in isolated.items() if alone),
        history_window=history_window,
        persist_state_changes=persist_state_changes,
        cas_attempts=cas_attempts,
        keeping=session.keeping,
        generations=MappingProxyType(generations),
        resources=tuple(one.described for one in declared),
    )
    return Flow(
        described=described,
        program=LocalProgram(named, schemas, own_models, views, declared),
        actions=named,
        blocks=blocks,
        schemas=MappingProxyType(schemas),
        state_models=MappingProxyType(own_models),
        client_views=MappingProxyType(views),
        resources=declared,
    )


def _described(action: Action[Any, Any]) -> ActionDescription:
    blocks = reachable_blocks((action.block,))
    singles = {
        (one.scope, one.name) for block in blocks for one in block.resources if isinstance(one, Resource)
    }
    return ActionDescription(
        action.name,
        action.input_schema(),
        action.output_schema(),
        action.description,
        action.timeout,
        tuple(sorted(singles)),
        action.concurrency.described,
    )


def _check_made(kind: str, part: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        wanted, given = expected.__name__, type(value).__name__
        hint = (
            f": write action(block={value.name})" if isinstance(value, Block) and expected is Action else ""
        )
        problem = f"{part} must be {wanted}(...), not {given}{hint}"
        raise FlowDefinitionError(f'flow "{kind}": {problem}')


def _check_count(kind: str, name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise FlowDefinitionError(f'flow "{kind}": {name} must be a whole number of at least {least}')
