"""A generator, the adapter for pydantic-ai and an endpoint in the manner of OpenAI, which does what endpoints do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ActionFailed,
    Event,
    Failure,
    FlowStateClient,
    ItemDelta,
    ItemDone,
    ModelUsage,
    RunHandle,
)
from flowstate_client.testing import record_events
from flowstate_server.flows import Context, action, define_flow, generator, handler
from flowstate_server.flows.generation import model_calls
from flowstate_server.language_models.pydantic_ai import openai_compatible
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon, until
from tests.support.openai_endpoint import (
    CLOSE,
    CUT,
    DONE,
    Endpoint,
    Piece,
    Reply,
    delta,
    failing,
    openai_endpoint,
    text,
    tool_piece,
    whole,
)

CANARY = "canary-7c1e"
KEY = "sk-canary-key-55d0"
SOON = 0.3
"""The time limits of the generators here: what is silent for longer counts as stalled."""


class Place(BaseModel):
    city: str


class Weather(BaseModel):
    sky: str
    degrees: int


@handler
async def forecast(place: Place, ctx: Context) -> Weather:
    """The weather at a place."""
    return Weather(sky=f"rain in {place.city}", degrees=4)


@dataclass
class Asked:
    """A run whose model is the endpoint."""

    run: RunHandle
    client: FlowStateClient
    backend: FlowStateClient

    async def events(self) -> list[Event]:
        return await record_events(self.run)

    async def texts(self) -> list[str]:
        done = [event.item for event in await self.events() if isinstance(event, ItemDone)]
        return [part["text"] for item in done if item.kind == "message" for part in item.content["parts"]]

    async def failure(self) -> Failure:
        with pytest.raises(ActionFailed) as failed:
            await self.run.result()
        assert CANARY not in repr(failed.value) + str(failed.value)
        return failed.value.failure

    async def used(self) -> list[ModelUsage]:
        told = await record_events(self.backend.flows.handle(self.run.request_id))
        return [event for event in told if isinstance(event, ModelUsage)]


@asynccontextmanager
async def asked(endpoint: Endpoint, act: str = "ask") -> AsyncIterator[Asked]:
    """A run of ``act``, about which no client of either plane may hear a word of the provider's errors."""
    limits: Any = {"first_token_timeout": SOON, "token_timeout": SOON}
    ask = generator("ask", prompt="Be brief.", tools=[forecast], **limits)
    judge = generator("judge", prompt="Judge.", output=Weather, **limits)
    flow = define_flow(kind="chat", actions={"ask": action(block=ask), "judge": action(block=judge)})
    async with (
        openai_compatible("play-1", base_url=endpoint.url, api_key=KEY) as model,
        running_server([flow], dependencies=model) as server,
        server.connect(user="ada") as client,
        server.connect(plane="trusted") as backend,
    ):
        run = await client.flows.dispatch("chat", act, "What now?", session_id="s")
        yield Asked(run, client, backend)
        for one in (client, backend):
            heard = repr(await soon(record_events(one.flows.handle(run.request_id))))
            assert CANARY not in heard
            assert KEY not in heard


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_calls, "FIRST_PAUSE", 0.001)


async def test_a_stream() -> None:
    going_on = asyncio.Event()
    async with openai_endpoint(whole(text("Hel"), going_on, text("lo"))) as endpoint, asked(endpoint) as one:
        async with asyncio.timeout(20), one.run.events() as events:
            async for event in events:
                if isinstance(event, ItemDelta):
                    assert event.text == "Hel"
                    going_on.set()
                    break
        assert await one.run.result(str) == "Hello"
        (usage,) = await one.used()
        assert (usage.model, usage.input_tokens, usage.output_tokens) == ("play-1", 11, 7)
        assert usage.provider
    (request,) = endpoint.requests
    assert request["stream"] is True
    assert [(message["role"], message["content"]) for message in request["messages"]] == [
        ("system", "Be brief."),
        ("user", "What now?"),
    ]
    (tool,) = request["tools"]
    assert tool["function"]["name"] == "forecast"
    assert tool["function"]["description"] == "The weather at a place."
    assert tool["function"]["parameters"]["required"] == ["city"]


async def test_thoughts() -> None:
    reply = whole(delta(reasoning_content="let me "), delta(reasoning_content="see"), text("Hello"))
    async with openai_endpoint(reply) as endpoint, asked(endpoint) as one:
        items = [event.item for event in await one.events() if isinstance(event, ItemDone)]
    assert [(item.kind, item.content) for item in items] == [
        ("reasoning", {"text": "let me see"}),
        ("message", {"parts": [{"type": "text", "text": "Hello"}]}),
    ]


async def test_tool_calls_in_pieces_and_several_at_once() -> None:
    first = whole(
        text("I look. "),
        tool_piece(0, "", call_id="c1", name="forecast"),
        tool_piece(0, '{"ci'),
        tool_piece(0, 'ty": "Rome"}'),
        tool_piece(1, '{"city": ', call_id="c2", name="forecast"),
        tool_piece(1, '"Oslo"}'),
        finish="tool_calls",
    )
    async with openai_endpoint(first, whole(text("It rains."))) as endpoint, asked(endpoint) as one:
        assert await one.run.result(str) == "It rains."
        assert await one.texts() == ["I look. ", "It rains."]
        items = [event.item for event in await one.events() if isinstance(event, ItemDone)]
        assert [item.content for item in items if item.kind == "tool_call"] == [
            {"call_id": "c1", "arguments": {"city": "Rome"}},
            {"call_id": "c2", "arguments": {"city": "Oslo"}},
        ]
        outputs = {
            item.content["call_id"]: item.content["output"]["sky"]
            for item in items
            if item.kind == "tool_output"
        }
        assert outputs == {"c1": "rain in Rome", "c2": "rain in Oslo"}
        assert len(await one.used()) == 2
    answered, one_result, other_result = endpoint.requests[1]["messages"][2:]
    assert answered["role"] == "assistant"
    assert [call["id"] for call in answered["tool_calls"]] == ["c1", "c2"]
    assert [(result["role"], result["tool_call_id"]) for result in (one_result, other_result)] == [
        ("tool", "c1"),
        ("tool", "c2"),
    ]
    assert "rain in Rome" in one_result["content"]


async def test_arguments_that_are_no_json_go_back_to_the_model() -> None:
    first = whole(tool_piece(0, '{"city": "Ro', call_id="c1", name="forecast"), finish="tool_calls")
    async with openai_endpoint(first, whole(text("Sorry."))) as endpoint, asked(endpoint) as one:
        assert await one.run.result(str) == "Sorry."
    assert "the arguments do not fit: not valid JSON" in endpoint.requests[1]["messages"][-1]["content"]


async def test_a_long_call_of_a_tool_is_no_stall() -> None:
    pieces = [tool_piece(0, '{"city": "', call_id="c1", name="forecast")]
    pieces += [tool_piece(0, letter) for letter in "Llanfair"]
    slow: list[Piece] = []
    for piece in (*pieces, tool_piece(0, '"}')):
        slow += [piece, SOON / 3]
    reply = whole(*slow, finish="tool_calls")
    async with openai_endpoint(reply, whole(text("ok"))) as endpoint, asked(endpoint) as one:
        assert await one.run.result(str) == "ok"


async def test_a_stall_before_the_first_token_is_tried_again() -> None:
    never = asyncio.Event()
    async with openai_endpoint(Reply((never,)), whole(text("hi"))) as endpoint, asked(endpoint) as one:
        assert await one.run.result(str) == "hi"
    assert endpoint.left.is_set()


async def test_a_stall_between_tokens_ends_the_run() -> None:
    async with (
        openai_endpoint(Reply((text("Hel"), asyncio.Event()))) as endpoint,
        asked(endpoint) as one,
    ):
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_UNAVAILABLE", True)
        assert await one.texts() == ["Hel"]
        await soon(endpoint.left.wait(), 1.0)
    assert len(endpoint.requests) == 1


async def test_too_many_requests_waits_as_long_as_the_provider_wants() -> None:
    busy = failing(429, CANARY, retry_after="1")
    async with openai_endpoint(busy, whole(text("hi"))) as endpoint, asked(endpoint) as one:
        started = time.monotonic()
        assert await one.run.result(str) == "hi"
        assert 0.8 < time.monotonic() - started < 10
    assert len(endpoint.requests) == 2


async def test_a_provider_that_wants_a_long_wait_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async with openai_endpoint(failing(429, CANARY, retry_after="3600")) as endpoint, asked(endpoint) as one:
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_UNAVAILABLE", True)
    assert len(endpoint.requests) == 1
    assert CANARY in caplog.text, "the log has the provider's words"


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_errors_of_the_provider_are_tried_again_and_then_told(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with openai_endpoint(*[failing(status, CANARY)] * 4) as endpoint, asked(endpoint) as one:
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_UNAVAILABLE", True)
        assert await one.texts() == []
    assert len(endpoint.requests) == 4, "nobody else tries again"
    assert caplog.text.count(CANARY) >= 4
    assert KEY not in caplog.text


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_the_provider_does_not_take_is_not_tried_again(status: int) -> None:
    async with openai_endpoint(failing(status, CANARY)) as endpoint, asked(endpoint) as one:
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_REFUSED", False)
    assert len(endpoint.requests) == 1


async def test_nobody_listens() -> None:
    async with openai_endpoint() as endpoint:
        pass
    async with asked(endpoint) as one:
        assert (await one.failure()).reason == "MODEL_UNAVAILABLE"


@pytest.mark.parametrize(
    "end",
    [
        (CUT,),
        (CLOSE,),
        (b'data: {"error": {"message": "canary-7c1e"}}\n\n',),
        (b'data: {"choices": [{"del\n\n',),
        (b"data: <html>canary-7c1e</html>\n\n", DONE),
    ],
    ids=["cut", "closed", "error", "broken", "no JSON"],
)
async def test_what_breaks_off_in_mid_token_keeps_its_text(end: tuple[Piece, ...]) -> None:
    async with openai_endpoint(Reply((text("Hel"), *end))) as endpoint, asked(endpoint) as one:
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_UNAVAILABLE", True)
        assert await one.texts() == ["Hel"]
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [Reply((CUT,)), Reply((CLOSE,)), Reply((b"data: canary-7c1e\n\n",)), Reply(error=b"<html>canary-7c1e")],
    ids=["cut", "closed", "broken", "no stream"],
)
async def test_what_breaks_off_before_the_first_token_is_tried_again(reply: Reply) -> None:
    async with openai_endpoint(reply, whole(text("hi"))) as endpoint, asked(endpoint) as one:
        assert await one.run.result(str) == "hi"
    assert len(endpoint.requests) == 2


async def test_a_filter_stops_the_answer() -> None:
    async with (
        openai_endpoint(whole(text("Hel"), finish="content_filter")) as endpoint,
        asked(endpoint) as one,
    ):
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_REFUSED", False)
        assert await one.texts() == ["Hel"]
    assert len(endpoint.requests) == 1


async def test_a_refusal_of_the_model() -> None:
    reply = whole(delta(role="assistant", refusal="I can't "), delta(refusal="do that."))
    async with openai_endpoint(reply) as endpoint, asked(endpoint) as one:
        failure = await one.failure()
        assert (failure.reason, failure.retryable) == ("MODEL_REFUSED", False)
    assert len(endpoint.requests) == 1


async def test_structured_output() -> None:
    replies = (whole(text('{"sky": "gr')), whole(text('{"sky": "grey", '), text('"degrees": 4}')))
    async with openai_endpoint(*replies) as endpoint, asked(endpoint, "judge") as one:
        assert await one.run.result(Weather) == Weather(sky="grey", degrees=4)
        assert await one.texts() == []
    assert all("degrees" in str(request) for request in endpoint.requests), "the schema was told"


async def test_cancel_closes_the_connection_within_a_second() -> None:
    async with (
        openai_endpoint(Reply((text("Hel"), asyncio.Event()))) as endpoint,
        asked(endpoint) as one,
    ):
        async with asyncio.timeout(20), one.run.events() as events:
            async for event in events:
                if isinstance(event, ItemDelta):
                    break
        await one.run.cancel()
        await soon(endpoint.left.wait(), 1.0)
        assert await one.texts() == ["Hel"]


async def test_cancel_before_the_first_token_closes_the_connection_within_a_second() -> None:
    async with openai_endpoint(Reply((asyncio.Event(),))) as endpoint, asked(endpoint) as one:
        await until(lambda: endpoint.requests, every=0.005)
        await one.run.cancel()
        await soon(endpoint.left.wait(), 1.0)
