"""A flow with a canary in every place that clients must not see, and in every one that only the owner may see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    Field,
    Json,
    TypeAdapter,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from flowstate_server.flows import (
    ActionError,
    Audience,
    ClientView,
    Context,
    Flow,
    Org,
    Request,
    ResourceView,
    ScopeHandle,
    Session,
    StateValidationError,
    User,
    View,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.flows.resources import AnyResource, ResourceScope
from tests.support.canaries import Canaries

CLIENT_ONLY, HISTORY_ONLY = (Audience.CLIENT,), (Audience.HISTORY,)
SCOPES = ("session", "user", "org")


def _quoting(value: str) -> str:
    if value.startswith("refuse"):
        raise ValueError(f"{value!r} is not welcome")
    return value


def _quoting_by_template(value: str) -> str:
    if value.startswith("refuse"):
        raise PydanticCustomError("unwelcome", "{what} is not welcome", {"what": value})
    return value


Quoted = Annotated[str, AfterValidator(_quoting)]
Templated = Annotated[str, AfterValidator(_quoting_by_template)]


class Colour(Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Strict(BaseModel):
    """An input that refuses whatever is given, each field in a way of its own."""

    quoted: Quoted = ""
    templated: Templated = ""
    number: int = 0
    flag: bool = False
    colour: Colour = Colour.RED
    word: Literal["a", "b"] = "a"
    uuid: UUID | None = None
    url: AnyUrl | None = None
    when: datetime | None = None
    price: Decimal = Decimal(0)
    text: Json[int] | None = None
    pattern: Annotated[str, Field(pattern="^[0-9]*$")] = ""
    short: Annotated[str, Field(max_length=3)] = ""
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    either: int | list[int] = 0
    many: dict[str, int] = {}
    keyed: dict[int, str] = {}

    @model_validator(mode="after")
    def _whole(self) -> Strict:
        if self.pattern == "7":
            raise ValueError(f"{self!r} is not welcome")
        return self


class Vault:
    """``canaries`` must never reach the client plane, ``private`` nobody but the owner."""

    def __init__(self) -> None:
        self.canaries = Canaries()
        self.private = Canaries()
        self.waiting = asyncio.Event()
        self.flow = self._define()

    def _model(self, scope: str) -> type[BaseModel]:
        fields: dict[str, Any] = {
            "shown": (str, ""),
            "absent": (int, ...),
            "secret": (str, self.canaries(f"{scope} default")),
            "keyed": (dict[str, str], {}),
            "quoted": (Quoted, ""),
            "templated": (Templated, ""),
            self._secret_field(scope): (str, ""),
        }
        return create_model(f"{scope.title()}State", **fields)

    def _secret_field(self, scope: str) -> str:
        return f"f_{self.canaries(f'{scope} field name')}"

    def _view(self, scope: str) -> ClientView:
        def crash(view: View[Any]) -> Any:
            raise ValueError(f"{view.state.secret} {self.canaries(f'{scope} derived text')}")

        async def later(view: View[Any]) -> Any:
            try:
                raise KeyError(view.state.secret)
            except KeyError as error:
                raise ExceptionGroup(view.state.secret, [error]) from error

        def no_json(view: View[Any]) -> Any:
            return {"set": {view.state.secret}}

        def not_finite(view: View[Any]) -> Any:
            return {view.state.secret: float("nan")}

        def told(view: View[Any]) -> Any:
            raise ActionError("TOLD", "for clients")

        def badly_told(view: View[Any]) -> Any:
            raise ActionError("TOLD", view.state.secret, {"set": {view.state.secret}})

        derived = {
            "crash": crash,
            "later": later,
            "no_json": no_json,
            "not_finite": not_finite,
            "told": told,
            "badly_told": badly_told,
            "missing": lambda view: view.state.absent,
            "size": lambda view: len(view.state.secret),
        }
        return ClientView(expose=["shown", "absent"], derived=derived)

    async def _fill_scope(self, name: str, scope: ScopeHandle[Any]) -> None:
        canary = self.canaries
        await scope.patch_state(secret=canary(f"{name} value"))
        await scope.patch_state({self._secret_field(name): canary(f"{name} value under a secret name")})
        if name != "request":
            await scope.patch_state(shown=self.private(f"{name} shown"), secret=canary(f"{name} both"))
            await scope.patch_state({self._secret_field(name): canary(f"{name} large") * 1_000})
        await scope.set_state_record("keyed", canary(f"{name} record key"), canary(f"{name} record value"))
        await scope.delete_state_record("keyed", canary(f"{name} record key"))
        await scope.set_state_record("keyed", canary(f"{name} kept key"), canary(f"{name} kept value"))
        for field in ("quoted", "templated"):
            with pytest.raises(StateValidationError) as refused:
                await scope.patch_state({field: f"refuse {canary(f'{name} refused {field}')}"})
            assert not canary.found(str(refused.value).encode())

    async def _fill_log(self, ctx: Context[Any, Any, Any, Any]) -> None:
        canary, private = self.canaries, self.private
        for audience in (Audience.INTERNAL, Audience.HISTORY):
            for transient in (False, True):
                place = f"{audience} event, transient {transient}"
                data = {canary(f"{place}: key"): [canary(f"{place}: value")]}
                await ctx.emit(canary(f"{place}: name"), data, audience=audience, transient=transient)
        for audiences, words, seen in (
            (HISTORY_ONLY, canary, "history"),
            ((), canary, "nobody"),
            (CLIENT_ONLY, private, "client"),
        ):
            async with ctx.message(
                words(f"{seen} role"), name=words(f"{seen} name"), audiences=audiences
            ) as text:
                await text.write(words(f"{seen} delta"))
            await ctx.tool_call(
                "t",
                {words(f"{seen} argument name"): words(f"{seen} argument")},
                call_id=words(f"{seen} call"),
                audiences=audiences,
            )
        await ctx.emit("shown", private("custom data"), audience=Audience.CLIENT)
        await ctx.status(private("status"))
        await ctx.session.append_journal(
            canary("journal note"),
            source=canary("journal source"),
            tags=[canary("journal tag")],
            data={canary("journal key"): canary("journal value")},
        )
        await ctx.session.set_metadata(
            title=private("title"),
            description=private("description"),
            tags=[private("tag")],
            metadata={"key": private("metadata")},
        )

    def _define(self) -> Flow:
        canary = self.canaries

        @handler(name=canary("block name"))
        async def inner(value: Any, ctx: Context) -> None:
            await ctx.emit("inside", canary("event of an inner block"))
            raise type(f"E{canary('exception class')}", (Exception,), {})(canary("inner exception"))

        @handler(uses=[inner], name=canary("outer block name"))
        async def fill(value: Any, ctx: Context[Any, Any, Any, Any]) -> str:
            org = ctx.org
            assert org is not None
            await self._fill_scope("session", ctx.session)
            await self._fill_scope("user", ctx.user)
            await self._fill_scope("org", org)
            await self._fill_scope("request", ctx.request)
            await self._fill_log(ctx)
            with pytest.raises(Exception, match=canary("inner exception")):
                await ctx.execute(inner, canary("input of an inner block"))
            return self.private("output")

        @handler
        async def nothing(value: Any, ctx: Context) -> None: ...

        @handler
        async def strict(value: Strict, ctx: Context) -> None: ...

        actions = {
            "fill": action(block=fill),
            "nothing": action(block=nothing),
            "strict": action(block=strict),
            "late": action(block=self._stubborn("late"), timeout=0.05),
            "wait": action(block=self._stubborn("wait")),
            "told": action(block=_told),
            "sync": action(block=self._sync()),
            "bad_output": action(block=self._bad_output()),
            **{name: action(block=_crashing(name, crash)) for name, crash in self._crashes().items()},
        }
        return define_flow(
            kind="vault",
            actions=actions,
            session=Session(state=self._model("session"), client=self._view("session")),
            user=User(state=self._model("user"), client=self._view("user")),
            org=Org(state=self._model("org"), client=self._view("org")),
            request=Request(state=self._model("request")),
            resources=_papers(),
        )

    def _crashes(self) -> dict[str, Callable[[Context[Any, Any, Any, Any]], Any]]:
        canary = self.canaries

        async def raises(ctx: Context[Any, Any, Any, Any]) -> None:
            raise ValueError(canary("exception"))

        async def chained(ctx: Context[Any, Any, Any, Any]) -> None:
            try:
                raise OSError(canary("cause"))
            except OSError as error:
                raise ExceptionGroup(canary("group"), [RuntimeError(canary("member"))]) from error

        async def invalid(ctx: Context[Any, Any, Any, Any]) -> None:
            TypeAdapter(int).validate_python(canary("value pydantic refused"))

        async def refused_state(ctx: Context[Any, Any, Any, Any]) -> None:
            await ctx.session.patch_state(quoted=f"refuse {canary('uncaught refused state')}")

        async def no_json(ctx: Context[Any, Any, Any, Any]) -> None:
            await ctx.session.patch_state(secret={canary("state that is no JSON")})

        async def conflict(ctx: Context[Any, Any, Any, Any]) -> None:
            await ctx.session.set_state_record("secret", canary("key into no map"), canary("no map"))

        async def cancelled(ctx: Context[Any, Any, Any, Any]) -> None:
            raise asyncio.CancelledError(canary("cancelled by itself"))

        async def badly_told(ctx: Context[Any, Any, Any, Any]) -> None:
            raise ActionError("TOLD", "for clients", {"set": {canary("details that are no JSON")}})

        async def no_text(ctx: Context[Any, Any, Any, Any]) -> None:
            def text(error: BaseException) -> str:
                raise ValueError(canary("text of an exception without one"))

            raise type("Silent", (Exception,), {"__str__": text, "__repr__": text})

        found = (raises, chained, invalid, refused_state, no_json, conflict, cancelled, badly_told, no_text)
        return {crash.__name__: crash for crash in found}

    def _stubborn(self, name: str) -> Any:
        @handler(name=name)
        async def block(value: Any, ctx: Context) -> None:
            try:
                self.waiting.set()
                await asyncio.Event().wait()
            finally:
                await ctx.emit("last", self.canaries(f"{name}: event at the end"))
                raise ValueError(self.canaries(f"{name}: exception at the end"))

        return block

    def _sync(self) -> Any:
        @handler
        def sync(value: Any, ctx: Context) -> None:
            raise ValueError(self.canaries("sync exception"))

        return sync

    def _bad_output(self) -> Any:
        @handler
        async def bad_output(value: Any, ctx: Context) -> int:
            return self.canaries("refused output")  # type: ignore[return-value]

        return bad_output


class Paper(BaseModel):
    shown: str
    hidden: str


def _papers() -> list[AnyResource]:
    """In each scope one that clients see a part of, one that they don't see, and some of which they don't either."""
    shown = ResourceView(expose=["shown"], content=True, live=True)
    return [
        declared
        for scope in get_args(ResourceScope)
        for declared in (
            resource("paper", state=Paper, scope=scope, client=shown),
            resource("plan", state=Paper, scope=scope),
            resources("notes/*", state=Paper, scope=scope),
        )
    ]


@handler
async def _told(value: Any, ctx: Context) -> None:
    raise ActionError("TOLD", "for clients", {"why": "so"})


def _crashing(name: str, crash: Callable[[Context[Any, Any, Any, Any]], Any]) -> Any:
    @handler(name=name)
    async def block(value: Any, ctx: Context) -> Any:
        return await crash(ctx)

    return block
