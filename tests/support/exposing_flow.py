"""Flows with drawn fields, of which drawn ones are exposed, that do drawn things to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, create_model

from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    Flow,
    Org,
    Session,
    StateValidationError,
    User,
    View,
    action,
    define_flow,
    handler,
)
from tests.support.canaries import Canaries

SCOPES = ("session", "user", "org")


def _guarded(value: str) -> str:
    if value.startswith("refuse"):
        raise ValueError(f"{value!r} is not welcome")
    return value


class Inner(BaseModel):
    text: str = ""
    texts: list[str] = []


KINDS: dict[str, tuple[Any, Any]] = {
    "text": (str, ""),
    "texts": (list[str], []),
    "map": (dict[str, str], {}),
    "maps": (dict[str, dict[str, str]], {}),
    "model": (Inner, Inner()),
    "models": (dict[str, Inner], {}),
    "maybe": (str | None, None),
    "absent": (str, ...),
    "guarded": (Annotated[str, AfterValidator(_guarded)], ""),
}
"""Annotation and default of a field, by its kind."""

OPERATIONS = ("write", "grow", "remove", "unset", "refused", "emit", "cas")
DERIVED = ("size", "fails", "tells", "shows", "drags")
ENDS = ("returns", "raises", "tells", "writes what is refused")


@dataclass(frozen=True)
class Plan:
    """``fields`` by scope: kind, and whether it is exposed; ``steps``: scope, place of the field (modulo their
    number), operation."""

    fields: dict[str, list[tuple[str, bool]]]
    derived: dict[str, list[str]]
    steps: list[tuple[str, int, str]]
    outside: list[tuple[str, int, str]]
    end: str
    persist: bool


def _plans() -> st.SearchStrategy[Plan]:
    fields = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.booleans()), min_size=1, max_size=4)
    steps = st.lists(
        st.tuples(st.sampled_from(SCOPES), st.integers(0, 3), st.sampled_from(OPERATIONS)), max_size=8
    )
    derived = st.lists(st.sampled_from(DERIVED), unique=True, max_size=3)
    return st.builds(
        Plan,
        fields=st.fixed_dictionaries(dict.fromkeys(SCOPES, fields)),
        derived=st.fixed_dictionaries(dict.fromkeys(SCOPES, derived)),
        steps=steps,
        outside=steps,
        end=st.sampled_from(ENDS),
        persist=st.booleans(),
    )


plans = _plans()


class ExposingFlow:
    """``hidden`` must not reach clients, ``shown`` is for them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.hidden = Canaries()
        self.shown = Canaries()
        self._count = 0
        self.flow = self._define()

    def words(self, scope: str, at: int) -> Canaries:
        return self.shown if self._field(scope, at)[1] else self.hidden

    def name(self, scope: str, at: int) -> str:
        place = at % len(self.plan.fields[scope])
        return f"f_{self.words(scope, at)(f'{scope} {place} name')}"

    def fields(self, scope: str, exposed: bool) -> Iterator[str]:
        for at, (_, shown) in enumerate(self.plan.fields[scope]):
            if shown is exposed:
                yield self.name(scope, at)

    async def do(self, state: Any, step: tuple[str, int, str]) -> None:
        """One step to a scope: that of a block, or of the client."""
        scope, at, operation = step
        kind, name = self._field(scope, at)[0], self.name(scope, at)
        match operation:
            case "write":
                await state.patch_state({name: self._value(scope, at)})
            case "grow" if kind == "texts":
                await state.push_state(name, self._word(scope, at), self._word(scope, at))
            case "grow" if kind in ("map", "maps", "models"):
                value = next(iter(self._value(scope, at).values()))
                await state.set_state_record(name, self._word(scope, at), value)
            case "remove" if kind in ("map", "maps", "models"):
                await state.delete_state_record(name, self._word(scope, at))
            case "unset":
                await state.unset_state(name)
            case "refused":
                await state.patch_state({name: [[self.hidden(f"{scope} refused")]]})
            case _:
                pass

    def _field(self, scope: str, at: int) -> tuple[str, bool]:
        fields = self.plan.fields[scope]
        return fields[at % len(fields)]

    def _word(self, scope: str, at: int) -> str:
        self._count += 1
        return self.words(scope, at)(f"{scope} {at} value {self._count}")

    def _value(self, scope: str, at: int) -> Any:
        word = partial(self._word, scope, at)
        match self._field(scope, at)[0]:
            case "texts":
                return [word()]
            case "map":
                return {word(): word()}
            case "maps":
                return {word(): {word(): word()}}
            case "model":
                return {"text": word(), "texts": [word()]}
            case "models":
                return {word(): {"text": word(), "texts": [word()]}}
            case _:
                return word()

    def _define(self) -> Flow:
        plan = self.plan

        @handler
        async def act(value: Any, ctx: Context[Any, Any, Any, Any]) -> str:
            scopes = {"session": ctx.session, "user": ctx.user, "org": ctx.org}
            for step in plan.steps:
                with suppress(StateValidationError):
                    if step[2] == "emit":
                        await ctx.emit(self.hidden("event name"), self.hidden("event data"))
                    elif step[2] == "cas" and self._field(*step[:2])[0] == "text":
                        handle: Any = scopes[step[0]]
                        await handle.atomic_state(
                            lambda state, step=step: {self.name(*step[:2]): self._word(*step[:2])}
                        )
                    else:
                        await self.do(scopes[step[0]], step)
            match plan.end:
                case "raises":
                    raise ValueError(self.hidden("exception"))
                case "tells":
                    raise ActionError("TOLD", self.shown("message"))
                case "writes what is refused":
                    await self.do(ctx.session, ("session", 0, "refused"))
            return self.shown("output")

        configs: dict[str, Any] = {
            scope: config(state=self._model(scope), client=self._view(scope))
            for scope, config in zip(SCOPES, (Session, User, Org), strict=True)
        }
        return define_flow(
            "exposing", actions={"act": action(block=act)}, persist_state_changes=plan.persist, **configs
        )

    def _model(self, scope: str) -> type[BaseModel]:
        fields: dict[str, Any] = {
            self.name(scope, at): KINDS[kind] for at, (kind, _) in enumerate(self.plan.fields[scope])
        }
        return create_model(f"{scope.title()}State", **fields)

    def _view(self, scope: str) -> ClientView:
        derived = {f"d_{name}": self._derivation(scope, name) for name in self.plan.derived[scope]}
        return ClientView(expose=list(self.fields(scope, True)), derived=derived)

    def _derivation(self, scope: str, name: str) -> Callable[[View[Any]], Any]:
        hidden, shown = list(self.fields(scope, False)), list(self.fields(scope, True))

        def all_of(view: View[Any], names: list[str]) -> list[Any]:
            return [getattr(view.state, name, None) for name in names]

        async def drags(view: View[Any]) -> Any:
            raise ExceptionGroup(str(all_of(view, hidden)), [KeyError(str(view.state))])

        def fails(view: View[Any]) -> Any:
            raise ValueError(str(all_of(view, hidden)) + self.hidden("derived exception"))

        def tells(view: View[Any]) -> Any:
            raise ActionError("TOLD", self.shown("derived message"))

        functions: dict[str, Callable[[View[Any]], Any]] = {
            "size": lambda view: len(str(all_of(view, hidden))),
            "fails": fails,
            "tells": tells,
            "shows": lambda view: str(all_of(view, shown)),
            "drags": drags,
        }
        return functions[name]
