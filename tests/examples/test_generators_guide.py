"""The code of the guide to generators does what the guide says."""

from __future__ import annotations

import re

import pytest

from flowstate_server.language_models import Ended, EndReason, LanguageModel, ModelUnavailableError
from flowstate_server.testing import Scripted, ScriptedModel, calls, run_flow
from tests.support.pages import Page, names_of

PAGE = Page("docs/guides/generators.md")
FLOW, TEST, FAILING, SERVED, OWN, SORTING = PAGE.blocks("python")


async def test_the_flow_passes_its_test() -> None:
    await names_of(FLOW, TEST)["test_say"]()


async def test_models_fail_as_the_script_says() -> None:
    await names_of(FLOW, TEST, FAILING)["test_models_that_fail"]()


async def test_a_model_that_is_away_takes_four_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowstate_server.flows.generation.model_calls.FIRST_PAUSE", 0.001)
    names = names_of(FLOW, TEST)
    model = ScriptedModel(*[Scripted(ModelUnavailableError("overloaded"))] * 4)
    run = await run_flow(names["support"], "say", {"message": "hi"}, dependencies=model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    model.check_done()


async def test_a_model_of_ones_own() -> None:
    names = names_of(FLOW, "from collections.abc import AsyncIterator\n", OWN)
    clerk = names["Clerk"]()
    assert isinstance(clerk, LanguageModel)
    run = await run_flow(names["support"], "say", {"message": "Where is order 7?"}, dependencies=clerk)
    assert run.output == "It is on its way "
    assert [item.kind for item in run.items] == ["message", "tool_call", "tool_output", "message"]


async def test_a_router_goes_where_the_model_says() -> None:
    names = names_of(FLOW, SORTING)
    model = ScriptedModel(
        Scripted('{"topic": "order"}', expect="Where is order 7?"),
        Scripted(calls("order_status", {"number": 7}), expect="Where is order 7?"),
        "It is on its way.",
    )
    run = await run_flow(names["sorting"], "say", {"message": "Where is order 7?"}, dependencies=model)
    assert run.output == "It is on its way."
    model.check_done()
    model = ScriptedModel('{"topic": "other"}')
    run = await run_flow(names["sorting"], "say", {"message": "Nice day."}, dependencies=model)
    assert run.output == "This is about no order: Nice day."


async def test_an_answer_that_is_cut_off_completes() -> None:
    model = ScriptedModel(Scripted("It is on", Ended(EndReason.LENGTH)))
    run = await run_flow(names_of(FLOW)["support"], "say", {"message": "hi"}, dependencies=model)
    assert run.output == "It is on"


async def test_the_lifespan_yields_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL_NAME", "MODEL_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:9/v1")
    names = names_of(FLOW, SERVED)
    async with names["lifespan"]() as model:
        assert isinstance(model, LanguageModel)


def test_the_failures_are_those_of_the_contract() -> None:
    from flowstate_server.rpc.codec.failures import FAILURE_CODES

    told = re.findall(r"^\| `([A-Z_]+)` \|", PAGE.text, re.MULTILINE)
    assert len(told) == 4
    assert set(told) <= set(FAILURE_CODES)
