"""What a flow says about each scope: a model of its own fields, and what clients may see."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.client_view import NOTHING_SHOWN, ClientView, Derivation
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.keeping import EPHEMERAL_TTL, Keeping, Retention, positive_seconds
from flowstate_server.schemas.pydantic.pydantic_1 import no_model_class

UpgradeFunction = Callable[[dict[str, Any]], Mapping[str, Any]]
"""From the fields that older generations stored, as JSON, to those of this one; see :class:`Session`."""

MAX_GENERATION = 2**31 - 1

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
    generation: int = 1
    upgrade: UpgradeFunction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_generation()
        self._check_keeping()
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

    def _check_keeping(self) -> None:
        """For a scope that is kept for some time. No further ``__post_init__``, or the warning above is of that."""

    def _check_generation(self) -> None:
        number: object = self.generation
        if type(number) is not int or not 1 <= number <= MAX_GENERATION:
            problem = f"takes a whole number from 1 to {MAX_GENERATION}"
            raise FlowDefinitionError(f"{self._written()}(generation=...) {problem}")
        if self.upgrade is None:
            return
        problem = _unfit(self.upgrade) or (
            "needs generation=2 or more: nothing is older" if number == 1 else ""
        )
        if problem:
            raise FlowDefinitionError(f"{self._written()}(upgrade=...) {problem}")


def _unfit(upgrade: object) -> str:
    """Why ``upgrade`` can't be one, if it can't."""
    if not callable(upgrade):
        return f"takes a function, not {type(upgrade).__name__}"
    forms = (upgrade, getattr(upgrade, "__call__", None))  # noqa: B004 - of an object that is callable
    if any(inspect.iscoroutinefunction(form) or inspect.isasyncgenfunction(form) for form in forms):
        return "takes a plain function, not an async one"
    if any(inspect.isgeneratorfunction(form) for form in forms):
        return "takes a function that returns a dict of fields, not one that yields"
    try:
        inspect.signature(upgrade).bind({})
    except TypeError:
        return "takes a function of one argument, the dict of the stored fields"
    except ValueError:  # no signature to read
        pass
    return ""


@dataclass(frozen=True, kw_only=True)
class Session(_ShownScopeConfig):
    """The session scope of a flow: one conversation.

    ``state`` is a model of fields beyond those that the blocks declare; ``client`` says what clients may see (nothing,
    unless it is given); ``client_data`` is the old form of ``client=ClientView(derived=...)``.

    ``generation`` counts what was stored otherwise than today; raise it with each change of the models that records of
    before don't fit, or that the servers of before must not write. ``upgrade`` makes of the fields that any older
    generation stored those of this one. It is given a dict of JSON values, which it may change and return; without
    defaults, and never a record that was not written yet. In a user or org record it gets the fields that this flow
    declares and those that no flow declares any more. What it doesn't return is removed; but in a record that other
    flows have written, too, fields that this flow doesn't declare stay, and are given to it again. So it is to be
    pure and idempotent: given what it made before, it returns that. Which generation stored the fields it can tell
    only by what is there. What it changes is validated and stored like what a block writes.

    A record of an older generation is upgraded wherever it is read, and stored so with its next write. One of a newer
    generation than the server's is read as far as it fits, and not written (``ScopeUnavailableError``).

    ``ttl``, in seconds or a ``timedelta``, is how long after its last activity a session is deleted as by
    ``DeleteSession`` (``None``: never), ``ephemeral_ttl`` the same of sessions that were made by a call without one;
    never while a request is open. Whatever is written in a session is activity, and that ``ResolveSession`` finds it;
    reading is not. ``retention`` says how much of a session that lives is kept.
    """

    kind = ScopeKind.SESSION
    ttl: float | timedelta | None = None
    ephemeral_ttl: float | timedelta | None = EPHEMERAL_TTL
    retention: Retention | None = None

    def _check_keeping(self) -> None:
        if self.retention is not None and not isinstance(self.retention, Retention):
            raise FlowDefinitionError(f"Session(retention=...) takes a Retention, not {self.retention!r}")
        object.__setattr__(self, "ttl", positive_seconds(self.ttl, "Session(ttl=...)"))
        lifetime = positive_seconds(self.ephemeral_ttl, "Session(ephemeral_ttl=...)")
        object.__setattr__(self, "ephemeral_ttl", lifetime)

    @property
    def keeping(self) -> Keeping:
        """How long sessions, and what is in them, are kept."""
        return Keeping(
            positive_seconds(self.ttl, "ttl"),
            positive_seconds(self.ephemeral_ttl, "ephemeral_ttl"),
            self.retention,
        )


@dataclass(frozen=True, kw_only=True)
class User(_ShownScopeConfig):
    """The user scope of a flow: a person, over all conversations. Parameters as for :class:`Session`."""

    kind = ScopeKind.USER


@dataclass(frozen=True, kw_only=True)
class Org(_ShownScopeConfig):
    """The org scope of a flow: a team. Parameters as for :class:`Session`."""

    kind = ScopeKind.ORG


@dataclass(frozen=True, kw_only=True)
class Request(_ScopeConfig):
    """The request scope of a flow: one execution of an action, never shown to clients. ``state`` as for
    :class:`Session`."""

    kind = ScopeKind.REQUEST
