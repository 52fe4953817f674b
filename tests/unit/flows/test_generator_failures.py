"""Models that are away, refuse, stall and break off, and generators that are cancelled."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import ModelRefusedError, ModelUnavailableError
from flowstate_server.flows import (
    ActionError,
    Context,
    Session,
    Turns,
    action,
    define_flow,
    generator,
    handler,
)
from flowstate_server.flows.generation import model_calls
from flowstate_server.language_models import (
    Ended,
    EndReason,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.payloads import ModelUsage
from flowstate_server.testing import (
    FlowRunFailed,
    FlowTester,
    Scripted,
    ScriptedModel,
    calls,
    run_flow,
)
from flowstate_server.testing.waiting import until
from tests.support.generating import flow_of, kinds, ran, today


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_calls, "FIRST_PAUSE", 0.001)


async def test_a_model_that_is_away_for_a_moment_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    away = Scripted(ModelUnavailableError("canary"))
    model = ScriptedModel(away, away, away, "hello")
    run = await ran(generator("answer", prompt="P"), model)
    assert run.output == "hello"
    assert caplog.text.count("canary") == 3
    model.check_done()


async def test_a_model_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(*[Scripted(ModelUnavailableError("canary"))] * 4)
    run = await ran(generator("answer", prompt="P"), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("MODEL_UNAVAILABLE", True)
    assert run.failure.message == "the language model is not available"
    assert run.items == []
    assert caplog.text.count("canary") == 4
    model.check_done()


@pytest.mark.parametrize("first", ["Hel", ThoughtDelta("hm"), calls("today")])
async def test_a_model_that_breaks_off_is_not_asked_again_and_what_it_said_stays(first: Any) -> None:
    model = ScriptedModel(Scripted(first, ModelUnavailableError("cut")))
    run = await ran(generator("answer", prompt="P", tools=[today]), model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    said = {"Hel": [("message", "Hel")], ThoughtDelta("hm"): [("reasoning", "hm")]}
    assert kinds(run) == said.get(first, [])
    model.check_done()


async def test_an_answer_without_an_end_has_broken_off() -> None:
    class Hasty:
        async def stream_answer(self, request: Any, /) -> Any:
            yield Usage("p", "m", 1, 1)

    run = await run_flow(flow_of(generator("answer", prompt="P", model=Hasty())), "say", "hi", check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    assert [event.type for event in run.events].count(EventType.MODEL_USAGE) == 4
    assert isinstance(run.exception, ActionError)
    assert run.exception.message == run.failure.message == "the language model is not available"
    assert "it did not say how it ended, as `yield Ended()` does" in str(run.exception)
    assert "yield Ended()" in run.described()


@pytest.mark.parametrize("parts", [(ModelRefusedError("canary"),), (Ended(EndReason.REFUSED),)])
async def test_a_refusal(parts: tuple[Any, ...]) -> None:
    model = ScriptedModel(Scripted(*parts))
    run = await ran(generator("answer", prompt="P"), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("MODEL_REFUSED", False)
    assert "canary" not in run.failure.message
    model.check_done()


class Wrong:
    """A model whose answer is a text, then something that is no part of one."""

    def __init__(self, part: Any) -> None:
        self.part = part

    async def stream_answer(self, request: Any, /) -> Any:
        yield TextDelta("a")
        yield self.part
        yield Ended()


@pytest.mark.parametrize("part", [ValueError("boom"), 17, None, b"x", {"text": "x"}, "canary", TextDelta])
async def test_what_is_no_part_of_an_answer_fails_the_run(
    part: Any, caplog: pytest.LogCaptureFixture
) -> None:
    block = generator("answer", prompt="P", model=Wrong(part))
    run = await run_flow(flow_of(block), "say", "hi", check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("INTERNAL", False)
    assert isinstance(run.exception, TypeError)
    gave = f"Wrong gave {type(part).__name__} as a part of its answer: parts are TextDelta, ThoughtDelta, "
    assert str(run.exception).startswith(gave)
    assert ("a text is to be a TextDelta" in str(run.exception)) is (part == "canary")
    assert "canary" not in caplog.text
    assert "flowstate_server/" not in caplog.text
    assert run.exception.__traceback__ is None


async def test_a_model_that_streams_nothing_is_told_how_to() -> None:
    class Whole:
        async def stream_answer(self, request: Any, /) -> Any:
            return "the answer"

    whole: Any = Whole()
    block = generator("answer", prompt="P", model=whole)
    with pytest.raises(
        FlowRunFailed, match=r"stream_answer of Whole must be an async generator.*gave coroutine"
    ):
        await run_flow(flow_of(block), "say", "hi")


async def test_a_scripted_model_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_calls, "FIRST_PAUSE", 3600.0)
    model = ScriptedModel(*[Scripted(ModelUnavailableError("busy", 30.0))] * 3, "hello")
    run = await ran(generator("answer", prompt="P"), model)
    assert run.output == "hello"


async def test_a_script_that_is_not_kept_to_shows_no_frame_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FlowRunFailed, match="call 1 is not in the script") as failed:
        await ran(generator("answer", prompt="P"), ScriptedModel())
    assert failed.value.__cause__ is not None
    assert failed.value.__cause__.__traceback__ is None
    assert "call 1 is not in the script" in caplog.text
    assert "flowstate_server/" not in caplog.text


async def test_of_an_expectation_that_fails_its_own_frame_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    def expect(request: Any) -> bool:
        raise LookupError("nothing of that kind")

    with pytest.raises(FlowRunFailed, match="nothing of that kind"):
        await ran(generator("answer", prompt="P"), ScriptedModel(Scripted("a", expect=expect)))
    assert "in expect" in caplog.text
    assert "flowstate_server/" not in caplog.text


async def test_an_answer_that_is_too_long_is_as_long_as_it_came() -> None:
    run = await ran(generator("answer", prompt="P"), ScriptedModel(Scripted("Hel", Ended(EndReason.LENGTH))))
    assert run.output == "Hel"


async def test_stalls_end() -> None:
    never = asyncio.Event()
    model = ScriptedModel(Scripted(never), Scripted("Hel", never))
    block = generator("answer", prompt="P", first_token_timeout=0.05, token_timeout=0.05)
    run = await ran(block, model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    assert kinds(run) == [("message", "Hel")]
    assert model.open == 0


async def test_cancel_closes_the_call_and_the_text_stays() -> None:
    model = ScriptedModel(Scripted("Hel", asyncio.Event()))
    async with FlowTester(flow_of(generator("answer", prompt="P")), dependencies=model) as tester:
        started = await tester.start("say", "hi")
        await model.called()
        await until(lambda: model.open == 1)
        run = await started.cancel()
        assert (run.status, kinds(run), model.open) == ("aborted", [("message", "Hel")], 0)


async def test_the_log_names_generator_and_request(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(Scripted(ModelUnavailableError("gone\nfor good")), "hi")
    with caplog.at_level(logging.WARNING):
        run = await ran(generator("answer", prompt="P"), model)
    assert f'generator "answer" of request {run.request_id}: ' in caplog.text
    assert "gone for good; attempt 2 follows in" in caplog.text


async def test_cancelled_at_any_moment_nothing_goes_on() -> None:
    running = 0

    @handler
    async def count(number: int, ctx: Context) -> int:
        nonlocal running
        running += 1
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            await ctx.session.patch_state(number=number)
        finally:
            running -= 1
        return number

    class Number(BaseModel):
        number: int = 0

    two_calls = Scripted(
        "I ", "count. ", calls("count", {"input": 1}, "a"), calls("count", {"input": 2}, "b")
    )
    block = generator("answer", prompt="P", tools=[count], history=Turns(3))
    flow = define_flow(kind="chat", actions={"say": action(block=block)}, session=Session(state=Number))
    statuses = set()
    for turns in range(90):
        model = ScriptedModel(two_calls, Scripted("Do", "ne."))
        async with FlowTester(flow, dependencies=model) as tester:
            started = await tester.start("say", "hi")
            for _ in range(turns):
                await asyncio.sleep(0)
            run = await started.cancel()
            statuses.add(run.status)
            assert (running, model.open) == (0, 0), turns
            version = run.session.version
            for _ in range(20):
                await asyncio.sleep(0)
            after = await tester.look_at(run.record)
            assert [event.type for event in after.events] == run.event_types(), turns
            assert after.session.version == version, turns
    assert statuses == {"aborted", "completed"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (-5, 0),
        (0, 0),
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, 2**63 - 1),
        (2**70, 2**63 - 1),
        (1.5, 1),
        (math.nan, 0),
        (math.inf, 2**63 - 1),
        (True, 1),
        (None, 0),
        ("7", 0),
    ],
)
async def test_odd_counts_of_tokens_lose_no_answer_and_break_no_tail(given: Any, told: int) -> None:
    model = ScriptedModel(Scripted("hello", Usage("p" * 1000, cast(str, None), given, given)))
    run = await ran(generator("answer", prompt="P"), model)
    assert run.output == "hello"
    used = next(event.payload for event in run.events if event.type is EventType.MODEL_USAGE)
    assert isinstance(used, ModelUsage)
    assert (used.provider, used.model) == ("p" * 200, "")
    assert (used.input_tokens, used.output_tokens) == (told, told)
    assert type(used.input_tokens) is int


@pytest.mark.parametrize("part", ["hello", None, 5])
async def test_what_is_no_part_of_an_answer_is_the_model_s_mistake(part: Any) -> None:
    class Odd:
        async def stream_answer(self, request: Any, /) -> Any:
            yield part
            yield Ended()

    run = await run_flow(flow_of(generator("answer", prompt="P", model=Odd())), "say", "hi", check=False)
    assert run.failure is not None
    assert run.failure.reason == "INTERNAL"
    assert str(run.exception).startswith(
        f"Odd gave {type(part).__name__} as a part of its answer: parts are "
    )
