"""Blocks about tickets, whose operations name fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from flowstate_server.flows import handler
from flowstate_server.flows.block import Block

Function = Callable[[None, Any], Any]


class Profile(BaseModel):
    name: str = ""


class Tickets(BaseModel):
    opened: int = 0
    ratio: float | None = None
    done: bool = False
    title: str = ""
    tags: list[str] = []
    seen: set[int] = set()
    tickets: dict[str, int] = {}
    profile: Profile = Profile()
    either: list[int] | dict[str, int] = []
    loose: Annotated[Any, BeforeValidator(lambda value: value)] = None
    coded: Annotated[int, BeforeValidator(lambda value: value)] = 0


def built(function: Function) -> Block[Any, Any]:
    return handler(name="open", session_state=Tickets, user_state=Tickets)(function)
