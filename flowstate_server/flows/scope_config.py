"""What a flow says about each scope: a model of its own fields, and what clients may see."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.client_view import NOTHING_SHOWN, ClientView, Derivation
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.pydantic_1 import no_model_class

_warned: set[ScopeKind] = set()


@dataclass(frozen=True, kw_only=True)
class _ScopeConfig:
    kind: ClassVar[ScopeKind]
    state: type[BaseModel] | None = None

    def __post_init__(self) -> None:
        model: object = self.state
        if model is not None and not (inspect.isclass(model) and issubclass(model, BaseModel)):
            raise FlowDefinitionError(f"{self._written()}(state=...) {no_model_class(model)}")

    @property
    def client_view(self) -> ClientView:
        """What clients may see of this scope."""
        return NOTHING_SHOWN

    def _written(self) -> str:
        """Its name in a flow: ``Session``."""
        return self.kind.title()


@dataclass(frozen=True, kw_only=True)
class _ShownScopeConfig(_ScopeConfig):
    client: ClientView | None = None
    client_data: Mapping[str, Derivation] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.client is not None and not isinstance(self.client, ClientView):
            raise FlowDefinitionError(
                f"{self._written()}(client=...) takes a ClientView, not {self.client!r}"
            )
        if self.client_data is None:
            return
        if self.client is not None:
            raise FlowDefinitionError(f"{self._written()} takes client or client_data, not both")
        object.__setattr__(self, "client", ClientView(derived=self.client_data))
        if self.kind not in _warned:
            _warned.add(self.kind)
            advice = f"client_data of the {self.kind} scope is deprecated, use client=ClientView(derived=...)"
            warnings.warn(advice, DeprecationWarning, stacklevel=3)

    @property
    def client_view(self) -> ClientView:
        return self.client or NOTHING_SHOWN


@dataclass(frozen=True, kw_only=True)
class SessionScope(_ShownScopeConfig):
    """The session scope of a flow: one conversation.

    ``state`` is a model of fields beyond those that the blocks declare; ``client`` says what clients may see (nothing,
    unless it is given); ``client_data`` is the old form of ``client=ClientView(derived=...)``.
    """

    kind = ScopeKind.SESSION


@dataclass(frozen=True, kw_only=True)
class UserScope(_ShownScopeConfig):
    """The user scope of a flow: a person, over all conversations. Parameters as for :class:`SessionScope`."""

    kind = ScopeKind.USER


@dataclass(frozen=True, kw_only=True)
class OrgScope(_ShownScopeConfig):
    """The org scope of a flow: a team. Parameters as for :class:`SessionScope`."""

    kind = ScopeKind.ORG


@dataclass(frozen=True, kw_only=True)
class RequestScope(_ScopeConfig):
    """The request scope of a flow: one execution of an action, never shown to clients. ``state`` as for
    :class:`SessionScope`."""

    kind = ScopeKind.REQUEST
