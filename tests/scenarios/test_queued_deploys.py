"""Requests that were queued by one deploy and get their turn under another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from flowstate_client import ActionFailed, FlowStateClient, RequestStatus, RunHandle
from flowstate_client.testing import record_events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Context, Flow, action, allow, define_flow, handler, queue
from flowstate_server.flows.concurrency import ConcurrencyPolicy
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon

SETTINGS = EngineSettings(lease=Seconds(1.0))
LOOKS = 1.0  # some three looks for turns, at this lease


class Old(BaseModel):
    text: str
    pause: float = 0.0


class Stricter(BaseModel):
    text: int
    pause: float = 0.0


class Broken(BaseModel):
    text: str
    pause: float = 0.0

    @field_validator("text")
    @classmethod
    def _broken(cls, text: str) -> str:
        raise RuntimeError(text)


def flow_of(model: type[Any] = Old, policy: ConcurrencyPolicy[Any] | None = None, name: str = "say") -> Flow:
    @handler
    async def say(said: Any, ctx: Context) -> str:
        await asyncio.sleep(said.pause)
        return f"said {said.text}"

    said = action(block=say, input=model, concurrency=policy or queue())
    return define_flow(kind="deployed", actions={name: said})


@asynccontextmanager
async def serving(flow: Flow, url: str) -> AsyncIterator[FlowStateClient]:
    async with (
        running_server([flow], store=url, settings=SETTINGS) as server,
        server.connect(user="ada") as ada,
    ):
        yield ada


async def queued(url: str) -> RunHandle:
    """A request that an old deploy has left in the queue."""
    async with serving(flow_of(), url) as ada:
        await ada.flows.dispatch("deployed", "say", {"text": "long", "pause": 60.0}, session_id="s")
        run = await ada.flows.dispatch("deployed", "say", {"text": "secret"}, session_id="s")
        assert (await run.get()).status is RequestStatus.QUEUED
        return run


async def test_an_input_that_does_not_fit_any_more_fails_unbegun(durable_url: str) -> None:
    left = await queued(durable_url)
    async with serving(flow_of(Stricter), durable_url) as ada:
        run = ada.flows.handle(left.request_id)
        with pytest.raises(ActionFailed) as failed:
            await soon(run.result())
        assert failed.value.failure.reason == "INPUT_OUTDATED"
        assert "/input/text" in failed.value.failure.message
        assert "secret" not in failed.value.failure.message
        assert (await run.get()).start_time is None
        types = [event.type for event in await record_events(run)]
        assert types == ["request.created", "request.queued", "request.failed"]


async def test_code_of_a_deploy_that_breaks_fails_it(durable_url: str) -> None:
    left = await queued(durable_url)
    async with serving(flow_of(Broken), durable_url) as ada:
        with pytest.raises(ActionFailed) as failed:
            await soon(ada.flows.handle(left.request_id).result())
        assert failed.value.failure.reason == "INTERNAL"
        assert failed.value.failure.error_id


async def test_a_deploy_without_the_policy_runs_what_is_queued(durable_url: str) -> None:
    left = await queued(durable_url)
    async with serving(flow_of(policy=allow()), durable_url) as ada:
        assert await soon(ada.flows.handle(left.request_id).result()) == "said secret"


async def test_only_a_server_that_has_the_action_begins_it(durable_url: str) -> None:
    left = await queued(durable_url)
    async with serving(flow_of(name="another"), durable_url) as ada:
        await asyncio.sleep(LOOKS)  # nothing may happen
        assert (await ada.flows.handle(left.request_id).get()).status is RequestStatus.QUEUED
    async with serving(flow_of(), durable_url) as ada:
        assert await soon(ada.flows.handle(left.request_id).result()) == "said secret"
