"""Prints the hashes of a flow whose models have sets wherever they can have them; run in processes of their own."""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from flowstate_server.flows import Context, Flow, Session, action, define_flow, handler

NAMES = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"}


class Kind(Enum):
    ONE = "one"
    TWO = "two"


def add_names(schema: dict[str, Any]) -> None:
    schema["called"] = NAMES


class Extras(BaseModel):
    model_config = ConfigDict(json_schema_extra={"x": cast(Any, NAMES)})
    shown: str = Field("a", examples=[NAMES, {"names": NAMES}])
    more: str = Field(
        "a", json_schema_extra={"x": cast(Any, NAMES), "y": [{"z": cast(Any, frozenset(NAMES))}]}
    )
    called: str = Field("a", json_schema_extra=add_names)
    items: list[Annotated[str, Field(examples=[NAMES])]] = []


class Inner(BaseModel):
    extras: Extras = Extras()
    names: set[str] = NAMES
    frozen: frozenset[frozenset[str]] = frozenset((frozenset(NAMES), frozenset(("x", "y", "z"))))
    mixed: set[int | str] = {1, 2, "alpha", "beta"}


@dataclasses.dataclass
class Box:
    names: frozenset[str] = frozenset(NAMES)


class State(BaseModel):
    extras: Extras = Extras()
    tags: set[str] = NAMES
    kinds: set[Kind] = {Kind.ONE, Kind.TWO}
    inner: Inner = Inner()
    inners: list[Inner] = [Inner()]
    by_name: dict[str, frozenset[str]] = {"a": frozenset(NAMES)}
    box: Box = Field(default_factory=Box)
    anything: Any = Field(default=("a", frozenset(NAMES)))
    limited: Annotated[
        str, AfterValidator(lambda text, allowed=frozenset(NAMES): text if text in allowed else "")
    ] = ""


class Output(BaseModel):
    extras: Extras = Extras()
    tags: set[str] = NAMES
    inner: Inner = Inner()


@handler(session_state=State)
async def hashed(value: Inner, ctx: Context[State]) -> Output:
    return Output()


def flow() -> Flow:
    return define_flow("hashes", actions={"go": action(block=hashed)}, session=Session(state=State))


if __name__ == "__main__":
    built = flow()
    hashes = [built.revision, *(schema.hash for schema in built.schemas.values())]
    sys.stdout.write("\n".join(hashes))
