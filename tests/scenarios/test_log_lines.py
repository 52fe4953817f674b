"""Every line about a call or a run has the ids by which it is joined with the others, whoever wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import ActionFailed, ApiError, FlowStateClient, Scope
from flowstate_server.testing.server_process import ServerProcess, server_process, server_processes
from flowstate_server.testing.waiting import until
from tests.support.talkative_flow import KIND

APP = "tests.support.talkative_flow:app"
OPTIONS = {"log_format": "json", "log_level": "debug", "lease": 1.0}

Line = dict[str, Any]


def lines(server: ServerProcess) -> list[Line]:
    """All of them: what is not a JSON object fails."""
    return [json.loads(line) for line in server.log.splitlines()]


async def line(server: ServerProcess, text: str, **ids: str) -> Line:
    """The one line whose message begins so."""

    def found() -> list[Line]:
        return [
            one
            for one in lines(server)
            if one["message"].startswith(text) and all(one.get(name) == value for name, value in ids.items())
        ]

    await until(found, what=text)
    (only,) = found()
    return only


def ids_of(line: Line) -> Line:
    return {
        name: line[name]
        for name in ("request_id", "session_id", "user_id", "tenant", "flow_kind", "action")
        if name in line
    }


IDS = {"request_id": "r1", "session_id": "s1", "user_id": "ada", "tenant": "acme", "flow_kind": KIND}


async def test_a_handlers_own_lines_have_the_ids_of_their_run_and_call() -> None:
    async with (
        server_process(APP, **OPTIONS) as server,
        FlowStateClient.connect(server.target, user="ada", tenant="acme") as client,
    ):
        await client.flows.call(KIND, "talk", {"text": "hello"}, session_id="s1", request_id="r1")
        access = await line(server, "FlowService/CallAction OK")
        assert ids_of(access) == IDS | {"action": "talk"}
        assert access["correlation_id"]
        for text in (
            "from async",
            "from sync",
            "from a task",
            "from to_thread",
            "from a callback",
            "Task exception was never retrieved",
        ):
            told = await line(server, text)
            assert ids_of(told) == ids_of(access), text
            assert told["correlation_id"] == access["correlation_id"], text
        assert (await line(server, "from async"))["article"] == "tea"
        assert "of its own" in (await line(server, "an exception has ended the thread"))["exception"]
        (finalized,) = [one for one in lines(server) if "of a finalizer" in one.get("exception", "")]
        assert ids_of(finalized) == ids_of(access)
        (warned,) = [one for one in lines(server) if "from a warning" in one["message"]]
        assert ids_of(warned) == ids_of(access)
        (validated,) = [one for one in lines(server) if one["message"] == "from a validator"]
        assert ids_of(validated) == ids_of(access)


async def test_an_access_line_names_who_calls_and_nothing_that_is_empty() -> None:
    async with server_process(APP, **OPTIONS) as server:
        for user, for_user, named in (("ada", None, "ada"), (None, "bob", "bob")):
            async with FlowStateClient.connect(server.target, user=user) as client:
                await client.flows.call(KIND, "talk", {"text": "hello"}, user_id=for_user)
            access = await line(server, "FlowService/CallAction OK", user_id=named)
            assert access["principal"] == named
            assert "" not in access.values()
        async with FlowStateClient.connect(server.target) as client:
            assert [flow.flow_kind async for flow in client.flows.list()] == [KIND]
        assert "principal" not in await line(server, "FlowService/ListFlows OK")


async def test_a_failure_is_joined_by_its_error_id_and_correlation_id() -> None:
    async with (
        server_process(APP, **OPTIONS) as server,
        FlowStateClient.connect(server.target, user="ada", tenant="acme") as client,
    ):
        with pytest.raises(ActionFailed) as failed:
            await client.flows.call(
                KIND, "fail", {"text": "a\nb\u2028\x1b[31m"}, session_id="s1", request_id="r1"
            )
        told = await line(server, "request r1")
        assert told["error_id"] == failed.value.failure.error_id
        assert "LookupError: a\nb\u2028\x1b[31m" in told["exception"]
        assert ids_of(told) == IDS | {"action": "fail"}
        access = await line(server, "FlowService/CallAction")
        assert told["correlation_id"] == access["correlation_id"]

        snapshot = await client.sessions.snapshot("s1")
        failure = snapshot.failures[Scope.SESSION]["broken"]
        derived = await line(server, "derived value")
        assert derived["error_id"] == failure.error_id
        assert derived["session_id"] == "s1"
        assert (await line(server, "from a derived value"))["session_id"] == "s1"


async def test_ids_that_the_server_makes_are_told_too() -> None:
    async with (
        server_process(APP, **OPTIONS) as server,
        FlowStateClient.connect(server.target, user="ada") as client,
    ):
        session = await client.sessions.create(KIND)
        assert (await line(server, "SessionService/CreateSession"))["session_id"] == session.id
        run = await client.flows.dispatch(KIND, "talk", {}, session_id=session.id)
        dispatched = await line(server, "FlowService/DispatchAction")
        assert dispatched["request_id"] == run.request_id
        async for _ in run.events():
            pass
        tailed = await line(server, "EventService/TailEvents")
        assert (tailed["request_id"], tailed["session_id"]) == (run.request_id, session.id)
        await run.result()
        waited = await line(server, "FlowService/WaitActionRequest")
        assert (waited["request_id"], waited["session_id"]) == (run.request_id, session.id)
        assert waited["correlation_id"] != dispatched["correlation_id"]
        assert (await line(server, "from sync"))["correlation_id"] == dispatched["correlation_id"]
        with pytest.raises(ApiError):
            await client.sessions.get("nobody's")
        assert (await line(server, "SessionService/GetSession"))["session_id"] == "nobody's"


async def test_a_blocked_loop_is_told_with_the_ids_of_who_blocks_it() -> None:
    async with (
        server_process(APP, **OPTIONS) as server,
        FlowStateClient.connect(server.target, user="ada", tenant="acme") as client,
    ):
        await client.flows.call(KIND, "block_loop", {}, session_id="s1", request_id="r1")
        for text in ("the event loop has been blocked", "the event loop turns again"):
            assert ids_of(await line(server, text)) == IDS | {"action": "block_loop"}
        assert "time.sleep(1.5)" in (await line(server, "the event loop has been blocked"))["stack"]


async def test_who_ends_the_run_of_a_lost_server_tells_its_ids(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/flowstate.db"
    async with (
        server_processes(2, APP, store=url, **OPTIONS) as (lost, other),
        FlowStateClient.connect(lost.target, user="ada", tenant="acme") as client,
    ):
        await client.flows.dispatch(KIND, "wait", {}, session_id="s1", request_id="r1")
        dispatched = await line(lost, "FlowService/DispatchAction")
        lost.kill()
        told = await line(other, "request r1 is interrupted")
        assert ids_of(told) == IDS | {"action": "wait"}
        assert told["correlation_id"] == dispatched["correlation_id"]


async def test_lines_of_text_have_the_ids_and_stay_lines() -> None:
    async with (
        server_process(APP, log_level="debug") as server,
        FlowStateClient.connect(server.target, user="ada", tenant="acme") as client,
    ):
        forged = "x\n2026-01-01 00:00:00,000 INFO author: request=r9"
        await client.flows.call(KIND, "talk", {"text": forged}, session_id="a b", request_id="r1")
        with pytest.raises(ActionFailed):
            await client.flows.call(KIND, "fail", {"text": forged}, session_id="a b", request_id="r2")
        (said,) = [line for line in server.log.splitlines() if "INFO author: from async" in line]
        assert ' request=r1 session="a b" user=ada tenant=acme correlation=' in said
        assert not [line for line in server.log.splitlines() if line.startswith("2026-01-01 00:00:00")]
        assert "\n  Traceback (most recent call last):\n" in server.log
