"""Generations and upgrades as flows define them: what can be, and which flows can be served together."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import CrossFlowSchemaConflictError, FlowDefinitionError
from flowstate_server.flows import (
    Context,
    Flow,
    FlowRegistry,
    Org,
    Session,
    User,
    action,
    define_flow,
    handler,
)

Fields = dict[str, Any]


class Profile(BaseModel):
    shade: str = "light"
    visits: int = 0


def upgrade(fields: Fields) -> Fields:
    return fields


async def waits(fields: Fields) -> Fields:
    return fields


@handler(session_state=Profile)
async def look(_: None, ctx: Context[Profile]) -> None: ...


def flow_of(session: Session) -> Flow:
    return define_flow("desk", actions={"go": action(block=look)}, session=session)


@pytest.mark.parametrize("scope", [Session, User, Org])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"upgrade": upgrade}, "generation=2 or more"),
        ({"generation": 1, "upgrade": upgrade}, "generation=2 or more"),
        ({"generation": 0}, "whole number from 1"),
        ({"generation": -1, "upgrade": upgrade}, "whole number from 1"),
        ({"generation": True}, "whole number from 1"),
        ({"generation": 2.0}, "whole number from 1"),
        ({"generation": "2"}, "whole number from 1"),
        ({"generation": None}, "whole number from 1"),
        ({"generation": 2**31}, "whole number from 1"),
        ({"generation": 2, "upgrade": waits}, "not an async one"),
        ({"generation": 2, "upgrade": functools.partial(waits)}, "not an async one"),
        ({"generation": 2, "upgrade": "upgrade"}, "takes a function, not str"),
        ({"generation": 2, "upgrade": lambda: None}, "of one argument"),
        ({"generation": 2, "upgrade": lambda fields, generation: fields}, "of one argument"),
    ],
)
def test_generations_and_upgrades_that_can_not_be(scope: Any, given: Fields, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem) as refused:
        scope(**given)
    assert str(refused.value).startswith(scope.__name__.removesuffix("Scope"))


def test_a_generation_needs_no_upgrade() -> None:
    one, other = (flow_of(Session(state=Profile, generation=n)) for n in (1, 5))
    assert one.revision != other.revision


def two_flows(**upgrades: Any) -> list[Flow]:
    user = [User(state=Profile, generation=2, upgrade=upgrades.get(kind)) for kind in ("a", "b")]
    return [
        define_flow(kind, actions={"go": action(block=look)}, user=scope)
        for kind, scope in zip("ab", user, strict=True)
    ]


def test_two_flows_that_upgrade_one_field_are_refused() -> None:
    a, b = two_flows(a=upgrade, b=lambda fields: fields)
    registry = FlowRegistry([a])
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        registry.register(b)
    assert (refused.value.flow_a, refused.value.flow_b, refused.value.field) == ("a", "b", "shade")
    assert "upgrade" in str(refused.value)
    assert registry.kinds() == ["a"]
    FlowRegistry(two_flows(a=upgrade))


def test_flows_of_their_own_records_upgrade_each_its_own() -> None:
    user = User(state=Profile, generation=2, upgrade=upgrade)
    parts: Any = {"user": user, "isolate_user_state": True}
    FlowRegistry([define_flow(kind, actions={"go": action(block=look)}, **parts) for kind in "ab"])
