"""Snapshots show what they can when a part of them fails."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.engine.calls.sessions import NewSession, ScopeProjection, SessionQuery
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.records.page_token import PageTokens
from flowstate_server.errors import PageTokenInvalidError
from flowstate_server.flows import ClientView, Context, Flow, Session, action, define_flow, handler
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.identity import Principal
from flowstate_server.stores.memory.store import MemoryStore

CALLER = Principal(user="u")


class Note(BaseModel):
    count: int = 7
    hidden: str = "canary"
    required: str


@handler(session_state=Note)
async def go(value: None, ctx: Context[Note]) -> None: ...


def flow_of(**derived: Any) -> Flow:
    view = ClientView(expose=["count", "required"], derived=derived)
    return define_flow("test", session=Session(client=view), actions={"go": action(block=go)})


async def projected(flow: Flow) -> ScopeProjection:
    engine = Engine(MemoryStore(), FlowRegistry([flow]))
    await engine.open()
    await engine.sessions.create(CALLER, NewSession("test", "s"), "", "")
    snapshot = await engine.snapshots.get(CALLER, "s", [])
    await engine.close()
    (scope,) = snapshot.scopes
    return scope


async def test_defaults_show_and_absent_fields_do_not() -> None:
    assert (await projected(flow_of())).values == {"count": 7}


@pytest.mark.parametrize(
    "broken",
    [
        lambda view: 1 // 0,
        lambda view: view.state.required,
        lambda view: "x" * 5_000_000,
        lambda view: {1, 2},
    ],
    ids=["raises", "absent field", "too large", "not JSON"],
)
async def test_one_failing_derived_value_leaves_the_others(broken: Any) -> None:
    scope = await projected(flow_of(broken=broken, twice=lambda view: view.state.count * 2))
    assert scope.values == {"count": 7, "twice": 14}
    assert set(scope.failures) == {"broken"}
    assert "canary" not in str(scope.failures)


@pytest.mark.parametrize("position", [[1], ["s", 1], 5, {}, [1, "s", 2], None])
async def test_a_forged_position_is_no_page_token(position: Any) -> None:
    engine = Engine(MemoryStore(), FlowRegistry([flow_of()]))
    await engine.open()
    bound: Any = ["sessions", "", None, "u", None, False]
    forged = PageTokens(engine.settings.page_token_key).make(bound, position)
    with pytest.raises(PageTokenInvalidError):
        await engine.sessions.list(CALLER, SessionQuery(page_token=forged))
    await engine.close()
