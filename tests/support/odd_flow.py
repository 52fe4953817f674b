"""A flow whose names are no identifiers, with a field of every kind."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_serializer

from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    ClientView,
    Context,
    ResourceView,
    Session,
    View,
    action,
    define_flow,
    handler,
    resource,
)


class Colour(Enum):
    RED = "red"
    QUOTED = '"it\'s" \\ red'


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Node(BaseModel):
    """A tree, with \"\"\" and a \\ in what is said of it: "so\""""

    name: str
    children: list[Node] = []
    by_name: dict[str, Node] = {}


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    radius: float = 1


class Square(BaseModel):
    kind: Literal["square"] = "square"
    side: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


class Every(BaseModel):
    """One field of every kind."""

    text: str
    class_: Annotated[str, Field(alias="class", description="A keyword.")]
    dashed: Annotated[int, Field(alias="da-shed")] = 3
    numbered: Annotated[int, Field(alias="1st")] = 1
    nothing: Annotated[int, Field(alias="–")] = 0
    underscored: Annotated[int, Field(alias="da_shed")] = 4
    private: Annotated[str, Field(alias="_private")] = "p"
    copy_: Annotated[bool, Field(alias="copy")] = True
    listed: Annotated[list[int], Field(alias="list")] = []
    kind: Annotated[str, Field(alias="model_config")] = "x"
    real: float = 1
    at: dt.datetime
    day: dt.date = dt.date(2026, 1, 2)
    hour: dt.time | None = None
    span: dt.timedelta = dt.timedelta(days=1)
    key: UUID = Field(default_factory=uuid4)
    price: Decimal = Decimal("1.50")
    raw: bytes = b"raw"
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    choice: Literal["a", 1, True, None] = None
    long_choice: Literal[
        "the first of many choices", "the second of many choices", "the third of many choices", "the fourth"
    ] = "the fourth"
    pair: tuple[int, str] = (1, "one")
    numbers: tuple[int, ...] = ()
    tags: set[str] = set()
    table: dict[str, list[int]] = {}
    by_number: dict[int, str] = {}
    shape: Annotated[Circle | Square, Field(discriminator="kind")] = Circle()
    shapes: list[Circle | Square | Node | dict[str, list[Circle | Square | Node]] | None] | None = None
    tree: Node | None = None
    open: Open | None = None
    json_: Annotated[JsonValue, Field(alias="json")] = None
    anything: Any = None
    positive: Annotated[int, Field(gt=0, le=10)] = 1


class Inner:
    class Every(BaseModel):
        """Another of the same name."""

        other: int = 0


class Written(BaseModel):
    a: int

    @model_serializer
    def _written(self) -> dict[str, int]:
        return {"a": self.a}


class Kept(BaseModel):
    tree: Node | None = None
    date: dt.date | None = None
    tuple: int = 1
    colours: list[Colour] = []


class Page(BaseModel):
    title: str = ""
    pages: list[Node] = []


PAGE = resource("front page", state=Page, client=ResourceView(expose=["title", "pages"]))


def shouted(view: View[Kept]) -> str:
    return "LOUD"


@handler
async def echo(every: Every, ctx: Context[Kept]) -> Every:
    await ctx.session.patch_state(tree=every.tree)
    return every


@handler
async def other(every: Inner.Every, ctx: Context) -> list[Inner.Every]:
    return [every]


@handler
async def number(given: int | None, ctx: Context) -> int | None:
    return given


@handler(resources=[PAGE])
async def open_page(title: str, ctx: Context) -> dict[str, list[Node]]:
    await ctx.resource(PAGE).patch_state(title=title, pages=[Node(name="first")])
    return {"pages": [Node(name="first")]}


@handler
async def written(given: dict[str, Any], ctx: Context) -> Written:
    return Written(a=1)


odd = define_flow(
    kind="odd-flow 1",
    description='Odd: a \\ and """ in it',
    session=Session(
        client=ClientView(expose=["tree", "date", "tuple", "colours"], derived={"shout": shouted})
    ),
    actions={
        "echo": action(input=Every, block=echo, description="Gives back what it got."),
        "other": action(input=Inner.Every, block=other),
        "class": action(block=number),
        "snap-shot": action(block=written),
        "snapshot": action(block=open_page),
    },
    resources=[PAGE],
)

flowstate = create_flowstate(flows=[odd])
