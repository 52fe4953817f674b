"""The example of an assistant does what it says, with a script, with its rules, and in its demo."""

from __future__ import annotations

import pytest

from examples.assistant import Say, Ticket, assistant, flowstate
from examples.assistant.demo import ASKED, main
from examples.assistant.rules import ModelByRules
from flowstate_server.language_models import AssistantMessage, LanguageModel
from flowstate_server.testing import FlowTester, Scripted, ScriptedModel, calls
from flowstate_server.testing.server import running_server
from tests.support.openai_endpoint import openai_endpoint, text, tool_piece, whole


async def test_a_conversation() -> None:
    model = ScriptedModel(
        Scripted(calls("order_status", {"number": 7}), expect="Where is order 7?"),
        Scripted("It comes on Friday!", expect="arrives on Friday"),
        Scripted(calls("open_ticket", {"order": 8, "text": "broken cup"}), expect="The cup"),
        Scripted("Sorry! A colleague looks at it.", expect="a colleague"),
        Scripted(calls("order_status", {"number": 99}), expect="order 99"),
        Scripted("There is none.", expect="there is no order of that number"),
    )
    async with FlowTester(assistant, dependencies=model) as tester:
        said = [
            await tester.run("say", Say(message=message), session_id="s")
            for message in (
                "Be cheerful!",
                "Where is order 7?",
                "The cup of order 8 is broken.",
                "And order 99?",
            )
        ]
    assert [run.output for run in said] == [
        "As you like: cheerful it is.",
        "It comes on Friday!",
        "Sorry! A colleague looks at it.",
        "There is none.",
    ]
    assert "in a cheerful tone" in model.requests[0].messages[0].text
    assert AssistantMessage("It comes on Friday!") in model.requests[-1].messages
    ticket = said[2].resources["ticket"]
    assert ticket.state_as(Ticket).problems == ["broken cup"]
    assert ticket.text == "# Order 8\n\nbroken cup\n"
    shown = said[2].client_data["session"]["ticket"]
    assert shown == {"order": 8, "problems": ["broken cup"], "status": "open"}, "the note is for the staff"
    model.check_done()


async def test_rules_are_a_model() -> None:
    model: LanguageModel = ModelByRules()
    async with FlowTester(assistant, dependencies=model) as tester:
        run = await tester.run("say", Say(message="Where is order 12?"))
    assert run.output == "Sorry: there is no order of that number."
    assert [item.kind for item in run.items] == ["message", "tool_call", "tool_output", "message"]


async def test_three_settings_name_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    call = tool_piece(0, '{"number": 7}', call_id="c1", name="order_status")
    async with openai_endpoint(whole(call, finish="tool_calls"), whole(text("On Friday."))) as endpoint:
        for name, value in (("URL", endpoint.url), ("NAME", "play-1"), ("KEY", "no secret")):
            monkeypatch.setenv(f"MODEL_{name}", value)
        async with running_server(flowstate) as server, server.connect(user="ada") as client:
            answer = await client.flows.call("assistant", "say", {"message": "Where is order 7?"})
    assert answer == "On Friday."
    assert [request["model"] for request in endpoint.requests] == ["play-1", "play-1"]
    assert "arrives on Friday" in str(endpoint.requests[1]["messages"])


async def test_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    await main()
    told = capsys.readouterr().out
    places = [told.index(f"ada> {question}") for question in ASKED]
    assert places == sorted(places)
    assert "[order_status {'number': 7}]" in told
    assert "[ticket changed: " in told
    assert "note_to_staff" not in told
    assert told.count("[waits for ") == 3, "one at a time in a session"
    assert "'user': {'tone': 'cheerful'}" in told
