"""The registry that authors use: a catalogue that finds actions too."""

from __future__ import annotations

import pytest

from flowstate_server.errors import ActionNotFoundError, FlowNotFoundError
from flowstate_server.flows import Context, FlowRegistry, action, define_flow, handler


@handler
async def nothing(value: None, ctx: Context) -> None: ...


chat = define_flow("chat", actions={"act": action(block=nothing)})


def test_finds_flows_and_actions_by_name() -> None:
    registry = FlowRegistry([chat])
    assert registry.get("chat") is chat
    assert registry.action("chat", "act") is chat.actions["act"]


def test_says_what_it_does_not_know() -> None:
    registry = FlowRegistry([chat])
    with pytest.raises(ActionNotFoundError) as no_action:
        registry.action("chat", "other")
    assert (no_action.value.flow_kind, no_action.value.action) == ("chat", "other")
    with pytest.raises(ActionNotFoundError, match=r'^Flow chat has no action atc; did you mean "act"\?$'):
        registry.action("chat", "atc")
    with pytest.raises(FlowNotFoundError):
        registry.action("other", "act")
