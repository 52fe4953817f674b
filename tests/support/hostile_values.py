"""A flow whose values run code of authors in every way that they can, which raises where ``armed`` says so."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WrapValidator,
    model_validator,
)

from flowstate_server.flows import ClientView, Context, Session, User, View, action, define_flow, handler
from tests.support.hostile_flows import throw_at, wait

KIND = "hostile_values"


def _at(place: str) -> Any:
    def function(value: Any) -> Any:
        throw_at(place)
        return value

    return function


def _wrapped(value: Any, inner: Any) -> Any:
    throw_at("wrap validator")
    return inner(value)


def _made() -> str:
    throw_at("factory")
    return "made"


def _drawn() -> str:
    throw_at("drawn factory")
    return "drawn"


class Nested(BaseModel):
    made: str = Field(default_factory=_made)


class State(BaseModel):
    after: Annotated[str, AfterValidator(_at("after validator"))] = ""
    before: Annotated[str, BeforeValidator(_at("before validator"))] = ""
    plain: Annotated[str, PlainValidator(_at("plain validator"))] = ""
    wrap: Annotated[str, WrapValidator(_wrapped)] = ""
    serialized: Annotated[str, PlainSerializer(_at("serializer"))] = ""
    nested: Nested | None = None
    count: int = 0


class Whole(BaseModel):
    whole: str = ""
    drawn: str = Field(default_factory=_drawn)

    @model_validator(mode="after")
    def check(self) -> Whole:
        throw_at("model validator")
        return self


WRITES: dict[str, dict[str, Any]] = {
    "after validator": {"after": "x"},
    "before validator": {"before": "x"},
    "plain validator": {"plain": "x"},
    "wrap validator": {"wrap": "x"},
    "serializer": {"serialized": "x"},
    "factory": {"nested": {}},
}


class Given(BaseModel):
    text: Annotated[str, AfterValidator(_at("input validator"))] = ""
    made: str = Field(default_factory=lambda: _at("input factory")("made"))


class Taken(BaseModel):
    text: Annotated[str, AfterValidator(_at("output validator"))] = ""
    shown: Annotated[str, PlainSerializer(_at("output serializer"))] = ""


@handler(session_state=State)
async def write(value: dict[str, Any], ctx: Context[State]) -> str:
    await ctx.session.patch_state(**value)
    return "written"


@handler(session_state=State)
def write_in_thread(value: dict[str, Any], ctx: Context[State]) -> str:
    ctx.run(ctx.session.patch_state(**value))
    return "written"


@handler(user_state=Whole)
async def write_user(value: str, ctx: Context[Any, Whole]) -> str:
    await ctx.user.patch_state(whole=value)
    return "written"


@handler
async def give(value: Given, ctx: Context) -> Taken:
    return {"text": "given"}  # type: ignore[return-value]  # what is no Taken yet is validated


def _derived(view: View[Any]) -> str:
    throw_at("derived value")
    return "fine"


async def _derived_async(view: View[Any]) -> str:
    throw_at("async derived value")
    return "fine"


flow = define_flow(
    KIND,
    session=Session(
        state=State,
        client=ClientView(
            expose=["count"],
            derived={"sync": _derived, "async": _derived_async, "other": lambda view: "other"},
        ),
    ),
    user=User(state=Whole),
    actions={
        "write": action(block=write),
        "write_in_thread": action(block=write_in_thread),
        "write_user": action(block=write_user),
        "give": action(block=give),
        "wait": action(block=wait),
    },
)
