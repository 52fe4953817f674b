"""A flow as it is served, and as it might be deployed next; a neighbour that shares its users."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, model_validator

from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, Flow, Org, Session, User, action, define_flow, handler, resource

CANARY = "canary-value"
"""Is stored, and must be in no report."""


@handler
async def nothing(value: None, ctx: Context) -> None: ...


class Mode(BaseModel):
    mode: str = ""
    low: int = 0
    high: int = 9
    notes: dict[str, str] = {}


class Profile(BaseModel):
    theme: str = "light"
    age: str = "0"


class Seats(BaseModel):
    seats: int = 0


class ModeNow(BaseModel):
    mode: Literal["", "chat", "agent"] = ""
    low: int = 0
    high: int = 9
    notes: dict[str, int] = {}

    @model_validator(mode="after")
    def in_order(self) -> ModeNow:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self


class ProfileNow(BaseModel):
    theme: str = "light"
    age: int = 0


class ProfileWithName(Profile):
    name: str


class Renamed(BaseModel):
    colour: str = "light"
    age: str = "0"


class ProfileAndEmail(Profile):
    email: str
    phone: str | None


class Themed(BaseModel):
    theme: int = 0


def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
    if isinstance(fields.get("age"), str):
        fields["age"] = int(fields["age"])
    return fields


def forgetful(fields: dict[str, Any]) -> Any:
    fields["age"] = 0


def rename(fields: dict[str, Any]) -> dict[str, Any]:
    if "theme" in fields:
        fields["colour"] = fields.pop("theme")
    return fields


def chat(session: type[BaseModel] = Mode, user: User | None = None, **options: Any) -> Flow:
    parts: Any = {"session": Session(state=session), "user": user or User(state=Profile), **options}
    return define_flow("chat", actions={"act": action(block=nothing)}, org=Org(state=Seats), **parts)


served = create_flowstate(flows=[chat()])
same = create_flowstate(flows=[chat()])
changed = create_flowstate(flows=[chat(ModeNow, User(state=ProfileNow))])
upgraded = create_flowstate(flows=[chat(user=User(state=ProfileNow, generation=2, upgrade=upgrade))])
forgotten = create_flowstate(flows=[chat(user=User(state=ProfileNow, generation=2, upgrade=forgetful))])
renamed = create_flowstate(flows=[chat(user=User(state=Renamed))])
renamed_with_upgrade = create_flowstate(flows=[chat(user=User(state=Renamed, generation=2, upgrade=rename))])
required = create_flowstate(flows=[chat(user=User(state=ProfileAndEmail))])
less = create_flowstate(flows=[chat(session=Seats)])
isolated = create_flowstate(flows=[chat(user=User(state=ProfileNow), isolate_user_state=True)])
neighbour = define_flow("admin", actions={"act": action(block=nothing)}, user=User(state=Themed))
other = define_flow("other", actions={"act": action(block=nothing)})
shop = define_flow("shop", actions={"act": action(block=nothing)}, user=User(state=ProfileWithName))
extends = create_flowstate(flows=[chat(), shop])

aside = create_flowstate(
    flows=[
        chat(resources=[resource("card", scope="user", state=Profile)]),
        define_flow(
            "report",
            actions={"act": action(block=nothing)},
            user=User(state=ProfileNow),
            isolate_user_state=True,
            resources=[resource("card", scope="user", state=ProfileNow)],
        ),
    ]
)
"""A flow has users' records of its own, in which it declares things otherwise."""
