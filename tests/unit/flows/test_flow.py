from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError, SchemaConflictError
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Org,
    Request,
    ScopeKind,
    Session,
    User,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.flows.bubbling import reachable_blocks
from flowstate_server.model.scopes import RECORD_SCOPES


class Say(BaseModel):
    message: str


class Counted(BaseModel):
    message_count: int = 0


class Moded(BaseModel):
    mode: Literal["chat", "agent"] = "chat"


class Preferences(BaseModel):
    theme: str = "light"


@handler(session_state=Counted)
async def count(say: Say, ctx: Context[Counted]) -> None: ...


@handler(session_state=Moded, user_state=Preferences)
async def reply(say: Say, ctx: Context[Moded, Preferences]) -> str:
    return say.message


@handler
async def reset(value: None, ctx: Context) -> None: ...


SAY = action(input=Say, block=sequencer("say").tap(count).step(reply))


def chat(**changes: Any) -> Flow:
    return define_flow(**{"kind": "chat", "actions": {"say": SAY}, **changes})


def test_has_actions_by_name() -> None:
    flow = chat(actions={"say": SAY, "reset": action(block=reset)}, description="Chats")
    assert (flow.kind, flow.description, repr(flow)) == ("chat", "Chats", "<flow chat>")
    assert {name: made.name for name, made in flow.actions.items()} == {"say": "say", "reset": "reset"}
    assert [block.name for block in flow.blocks] == ["say", "count", "reply", "reset"]


def test_has_defaults() -> None:
    flow = chat()
    assert (flow.history_window, flow.persist_state_changes, flow.cas_attempts) == (50, False, 8)
    assert (flow.isolate_user_state, flow.isolate_org_state, flow.client_views) == (False, False, {})


def test_isolates_what_it_is_told_to() -> None:
    flow = chat(isolate_org_state=True)
    assert [scope for scope in RECORD_SCOPES if flow.isolates(scope)] == [ScopeKind.ORG]
    flow = chat(isolate_user_state=True)
    assert [scope for scope in RECORD_SCOPES if flow.isolates(scope)] == [ScopeKind.USER]


def test_what_blocks_declare_bubbles_up() -> None:
    flow = chat(org=Org(state=Moded), request=Request(state=Counted))
    assert {scope: tuple(schema.fields) for scope, schema in flow.schemas.items()} == {
        ScopeKind.REQUEST: ("message_count",),
        ScopeKind.SESSION: ("message_count", "mode"),
        ScopeKind.USER: ("theme",),
        ScopeKind.ORG: ("mode",),
    }
    assert flow.state_models == {ScopeKind.ORG: Moded, ScopeKind.REQUEST: Counted}


def test_every_reachable_block_counts_and_each_once() -> None:
    @handler(uses=[reply])
    async def ask(say: Say, ctx: Context) -> str:
        return await ctx.execute(reply, say)

    inner = sequencer("inner").tap(count).step(ask)
    outer = sequencer("outer").tap(inner).tap(inner).step(reply)
    assert [block.name for block in reachable_blocks([outer, inner])] == [
        "outer",
        "inner",
        "count",
        "ask",
        "reply",
    ]


def test_conflicting_declarations_are_refused_with_the_names_of_both() -> None:
    class Numbered(BaseModel):
        message_count: str = ""

    with pytest.raises(SchemaConflictError) as caught:
        chat(session=Session(state=Numbered))
    for name in ('block "count"', 'flow "chat"', "message_count", "int", "str"):
        assert name in str(caught.value)


def test_a_declaration_of_two_blocks_is_one_field() -> None:
    @handler(session_state=Counted)
    async def recount(value: None, ctx: Context[Counted]) -> None: ...

    flow = chat(actions={"say": SAY, "recount": action(block=recount)}, session=Session(state=Counted))
    assert tuple(flow.schemas[ScopeKind.SESSION].fields) == ("message_count", "mode")


def test_shows_what_is_declared_by_blocks_and_flow() -> None:
    session = ClientView(
        expose=["message_count", "mode"], derived={"label": lambda view: view.state.mode.title()}
    )
    flow = chat(session=Session(client=session), user=User(client=ClientView()))
    assert flow.client_views == {ScopeKind.SESSION: session}


def test_refuses_to_expose_what_no_schema_declares() -> None:
    with pytest.raises(
        FlowDefinitionError, match='flow "chat": the user scope exposes fields that no schema declares: mode'
    ):
        chat(user=User(client=ClientView(expose=["theme", "mode"])))


def test_the_revision_is_that_of_what_clients_could_see() -> None:
    same = [chat(), chat(), chat(cas_attempts=2, history_window=3)]
    assert len({flow.revision for flow in same}) == 1
    others = [
        chat(),
        chat(kind="other"),
        chat(description="Chats"),
        chat(actions={"tell": SAY}),
        chat(actions={"say": action(block=SAY.block, description="Says")}),
        chat(actions={"say": action(block=SAY.block, timeout=5)}),
        chat(actions={"say": action(block=reply)}),
        chat(session=Session(client=ClientView(expose=["mode"]))),
        chat(session=Session(client=ClientView(derived={"mode": repr}))),
        chat(isolate_user_state=True),
        chat(persist_state_changes=True),
    ]
    assert len({flow.revision for flow in others}) == len(others)


def test_the_revision_is_the_same_in_another_process() -> None:
    program = f"from {__name__} import chat; print(chat().revision)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert ended.stdout.strip() == chat().revision


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": ""}, "a flow's kind must not be empty"),
        ({"kind": "a\tb"}, "a flow's kind must hold no control character"),
        ({"kind": "x" * 129}, "a flow's kind must be at most 128 bytes"),
        ({"kind": 5}, "a flow's kind must be a string, not int"),
        ({"actions": {}}, 'flow "chat" needs at least one action'),
        (
            {"actions": [SAY]},
            'flow "chat": actions must be a dict of actions by name, .* not a value of type list',
        ),
        ({"actions": {"": SAY}}, 'flow "chat": an action\'s name must not be empty'),
        ({"actions": {"a\nb": SAY}}, 'flow "chat": an action\'s name must hold no control character'),
        (
            {"actions": {"say": reply}},
            r'flow "chat": action "say" must be Action\(...\), not AsyncHandler: write action\(block=',
        ),
        ({"actions": {"say": 5}}, r'flow "chat": action "say" must be Action\(...\), not int$'),
        ({"history_window": -1}, 'flow "chat": history_window must be a whole number of at least 0'),
        ({"cas_attempts": 0}, 'flow "chat": cas_attempts must be a whole number of at least 1'),
        ({"cas_attempts": True}, 'flow "chat": cas_attempts must be a whole number'),
        ({"session": User()}, r'flow "chat": session must be Session\(...\), not User'),
        ({"request": Counted}, r'flow "chat": request must be Request\(...\)'),
        ({"org": None}, r'flow "chat": org must be Org\(...\), not NoneType'),
    ],
)
def test_refuses_what_is_no_flow(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        chat(**changes)


def test_can_not_be_changed() -> None:
    flow = chat()
    with pytest.raises(AttributeError):
        flow.kind = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        cast("dict[str, Any]", flow.actions)["more"] = SAY
