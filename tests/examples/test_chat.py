from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from examples.chat import chat
from examples.chat.preferences import Preferences
from examples.chat.say import Say
from flowstate_server.testing import FlowTester, run_flow


@pytest.fixture
async def tester() -> AsyncIterator[FlowTester]:
    async with FlowTester(chat) as tester:
        yield tester


async def test_a_plan_changes_the_mode_and_is_kept() -> None:
    run = await run_flow(chat, "say", Say(message="Please plan a trip to Lisbon."))
    assert run.session.state.message_count == 1
    assert run.session.state.mode == "agent"
    assert run.session.state.topics == ["trip to Lisbon"]
    assert [item.role for item in run.items] == ["user", "assistant"]
    assert run.output == run.items[1].text


async def test_the_assistant_knows_what_was_said(tester: FlowTester) -> None:
    for message in ("Hello!", "Please plan a walk.", "On Sunday."):
        await tester.run("say", Say(message=message), session_id="s")
    run = await tester.run("say", Say(message="Where were we?"), session_id="s")
    assert isinstance(run.output, str)
    for known in ("the walk", '"Hello!"', '"On Sunday."'):
        assert known in run.output
    assert run.session.state.message_count == 4


async def test_a_preference_holds_in_all_conversations_of_its_user(tester: FlowTester) -> None:
    await tester.run("prefer", Preferences(tone="cheerful"), session_id="s1", user_id="ada")
    own = await tester.run("say", Say(message="Hello!"), session_id="s2", user_id="ada")
    other = await tester.run("say", Say(message="Hello!"), session_id="s3", user_id="bob")
    assert str(own.output).endswith("How exciting!")
    assert not str(other.output).endswith("How exciting!")
