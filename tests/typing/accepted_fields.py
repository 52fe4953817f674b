"""Fields in operations on state that the plugin of the type checker has to accept. Checked, never run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, TypeVar, assert_type
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, ScopeHandle, ScopeWriter, StateBatch

T = TypeVar("T")
HandleT = TypeVar("HandleT", bound="Tickets")
OPENED: Final = "opened"


class Mode(Enum):
    CHAT = "chat"


@dataclass
class Point:
    x: int


class Profile(BaseModel):
    name: str = ""


class Tickets(BaseModel):
    model_config = ConfigDict(frozen=True)

    shown: ClassVar[int] = 3
    opened: int = 0
    ratio: Annotated[float, Field(ge=0)] = 0.5
    best: int | None = None
    state: Literal["open", "closed"] = "open"
    mode: Mode = Mode.CHAT
    tags: list[str] = []
    scores: list[float] = []
    seen: set[int] = set()
    times: deque[datetime] = Field(default_factory=deque)
    pair: tuple[int, str] = (1, "")
    profile: Profile = Profile()
    profiles: list[Profile] = []
    tickets: dict[str, int] = {}
    by_id: dict[UUID, Profile] = {}
    by_number: Mapping[int, Sequence[str]] = {}
    anything: JsonValue = None
    untyped: Any = None
    price: Decimal = Decimal(0)
    since: datetime | None = None
    point: Point = Point(0)
    either: list[int] | dict[str, int] = []


class Page(BaseModel, Generic[T]):
    first: T
    rest: list[T]


class PageOfText(Page[str]):
    number: int = 0


async def values(
    ctx: Context[Tickets], fields: dict[str, Any], numbers: dict[str, int], key: UUID, profile: Profile
) -> None:
    session = ctx.session
    await session.patch_state(opened=1, ratio=1, best=None, state="closed", mode=Mode.CHAT, tags=["a"])
    await session.patch_state(scores=[1, 2], seen={1}, pair=(1, "a"), point=Point(1), either={"a": 1})
    await session.patch_state({"opened": 1, "state": "open", "tags": [], "profiles": [profile]})
    await session.patch_state({OPENED: 1})
    await session.patch_state(tags=[*session.state.tags, "a"], profile=session.state.profile.model_copy())
    await session.patch_state(tags=tuple(session.state.tags), by_id={key: profile}, tickets=numbers)
    # the JSON form of what a field is
    await session.patch_state(mode="chat", seen=[1], pair=[1, "a"], point={"x": 1}, price="1.20")
    await session.patch_state(
        since="2026-01-01T00:00:00Z", by_id={str(key): {"name": "a"}}, profile={"name": ""}
    )
    # names that are not written out
    await session.patch_state(fields)
    await session.patch_state(numbers, opened=2)
    await session.patch_state(**numbers)
    await session.patch_state({**fields, "opened": 1})
    await session.inc_state(numbers)
    for name in ("tags", "scores"):
        await session.push_state(name, 1)


async def operations(ctx: Context[Tickets], key: UUID, profile: Profile, texts: Sequence[str]) -> None:
    session = ctx.session
    await session.set_state({"opened": 1})
    await session.set_state(Tickets())
    await session.inc_state(opened=1, ratio=0.5, best=2)
    await session.inc_state({"opened": -1})
    await session.push_state("tags", "a", *texts)
    await session.push_state("profiles", profile, {"name": "a"})
    await session.push_state("times", datetime.now(), "2026-01-01T00:00:00Z")  # noqa: DTZ005
    await session.push_state("anything", 1)
    await session.push_state("either", 1)
    await session.push_state("untyped", 1)
    await session.set_state_record("tickets", "a", 1)
    await session.set_state_record("by_id", key, profile)
    await session.set_state_record("by_id", str(key), {"name": "a"})
    await session.set_state_record("by_number", 3, texts)
    await session.set_state_record("profile", "name", "ada")
    await session.delete_state_record("by_number", 3)
    await session.unset_state("opened", "tags")
    await session.atomic_state(lambda state: {"opened": state.opened + 1})
    await session.at(3).patch_state(opened=1)
    async with session.batch() as batch:
        batch.inc_state(opened=1)
    session.get("opened")


async def returned(
    session: ScopeHandle[Tickets], client: FlowStateClient, fields: dict[str, Any], text: str, points: float
) -> None:
    await session.atomic_state(lambda state: {"ratio": max(state.ratio, points), "tags": [*state.tags, "a"]})
    await session.atomic_state(lambda state: {"mode": "chat", "profile": {"name": "a"}, "best": None})
    await session.atomic_state(lambda state: {OPENED: 1} if state.tags else {"state": "closed", "seen": [1]})
    await session.atomic_state(lambda state: {**fields, "opened": 1})
    await session.atomic_state(lambda state: {text: 1, "opened": 1})
    await session.atomic_state(lambda state: fields if state.tags else {"opened": 1})
    await session.atomic_state(lambda state: state if text else state.model_copy(update={"opened": 1}))
    await session.atomic_state(lambda state: {})
    await session.atomic_state(lambda state: {"best": min(state.seen), "untyped": object()})
    await client.state.session("s", model=Tickets).atomic_state(lambda state: {"price": "1.5"})
    await client.state.session("s").atomic_state(lambda state: {"anything": state["anything"]})


async def models(
    page: ScopeHandle[Page[int]],
    text: ScopeHandle[PageOfText],
    either: ScopeHandle[Tickets | Page[int]],
    bound: ScopeHandle[HandleT],
    batch: StateBatch,
    writer: ScopeWriter[BaseModel],
    ctx: Context,
) -> None:
    await page.patch_state(first=1, rest=[1])
    await text.push_state("rest", "a")
    await text.inc_state(number=1)
    await either.unset_state("opened")
    await bound.inc_state(opened=1)
    await writer.patch_state(anything_goes=1)
    await ctx.session.push_state("anything_goes", 1)
    batch.inc_state(anything_goes=1)


async def from_outside(client: FlowStateClient, key: UUID, fields: dict[str, Any]) -> None:
    session = client.state.session("s", model=Tickets)
    await session.patch_state(opened=1, seen=[1], since="2026-01-01T00:00:00Z", profile={"name": "a"})
    await session.at(3).set_state_record("by_id", key, Profile())
    await session.patch_state(fields)
    await session.atomic_state(lambda state: {"opened": state.opened + 1})
    async with session.batch() as batch:
        batch.inc_state(opened=1)
    async with client.state.batch() as several:
        several.user("u", flow_kind="f", model=Tickets).inc_state(opened=1)
        several.session("s").inc_state(anything_goes=1)
    await client.state.session("s").patch_state(anything_goes=1)
    assert_type((await session.get()).state, Tickets)
    assert_type((await client.state.session("s").get()).state, Any)
    assert_type((await session.get(model=Profile)).state, Profile)
