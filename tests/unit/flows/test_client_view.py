from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import ActionError, FlowDefinitionError
from flowstate_server.flows import ClientView, View, client_view as module
from flowstate_server.flows.client_view import check_exposed
from flowstate_server.model.records import Failure
from flowstate_server.programs.stuck_calls import MOST_STUCK
from flowstate_server.testing.waiting import until


class State(BaseModel):
    mode: str = "chat"


VIEW = View(State())


def test_names_what_clients_may_see() -> None:
    view = ClientView(expose=["b", "a", "b"], derived={"label": lambda view: view.state.mode})
    assert view.expose == ("b", "a")
    assert list(view.derived) == ["label"]
    assert view.names == ("b", "a", "label")
    assert view
    assert not ClientView()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"expose": ["a", "b"], "derived": {"b": len}}, "can't be exposed and derived at once: b"),
        ({"expose": "mode"}, "expose takes a list of field names, not one string"),
        ({"expose": [""]}, "an exposed name must not be empty"),
        ({"expose": [1]}, "an exposed name must be a string, not int"),
        ({"derived": {"a\x00": len}}, "a derived value's name must hold no control character"),
        (
            {"derived": {"a": lambda view, x: x}},
            r"is computed from a View alone: write <lambda>\(view\), not <lambda>\(view, x\)",
        ),
        ({"derived": {"a": "b"}}, 'the derived value "a" needs a function, not str'),
    ],
)
def test_refuses_wrong_names(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        ClientView(**arguments)


def test_refuses_to_expose_what_no_schema_declares() -> None:
    view = ClientView(expose=["mode", "moods", "count"])
    check_exposed(view, "the session scope", ["mode", "moods", "count", "more"])
    with pytest.raises(
        FlowDefinitionError, match="the session scope exposes fields that no schema declares: count, moods"
    ):
        check_exposed(view, "the session scope", ["mode"])


@pytest.mark.parametrize(
    ("fields", "there_are"),
    [(["total", "mode"], "mode, total"), ([], "none"), ([f"f{n}" for n in range(30)], r"f0, .* and 10 more")],
)
def test_tells_which_fields_there_are(fields: list[str], there_are: str) -> None:
    with pytest.raises(FlowDefinitionError, match=rf"declares: totl \(there are {there_are}\)$"):
        check_exposed(ClientView(expose=["totl"]), "the session scope", fields)


async def derive(function: Any) -> Any:
    return await ClientView(derived={"value": function}).derive("value", VIEW)


async def test_computes_from_the_view_sync_or_async() -> None:
    async def later(view: View[State]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"mode": view.state.mode, "resources": len(view.resources)}

    assert await derive(lambda view: view.state.mode.title()) == "Chat"
    assert await derive(later) == {"mode": "chat", "resources": 0}
    assert await derive(functools.partial(later)) == {"mode": "chat", "resources": 0}


async def test_makes_json_of_models() -> None:
    assert await derive(lambda view: [view.state]) == [{"mode": "chat"}]
    assert await derive(lambda view: None) is None


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", 2**63, object()])
async def test_what_is_not_json_is_a_failure(value: object) -> None:
    failure = await derive(lambda view: value)
    assert isinstance(failure, Failure)
    assert failure.reason == "INTERNAL"


async def test_a_failure_names_its_kind_and_keeps_the_text_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(view: View[State]) -> str:
        raise LookupError("secret")

    with caplog.at_level(logging.ERROR):
        failure = await derive(fail)

    assert failure == Failure("INTERNAL", "the derived value failed: LookupError", error_id=failure.error_id)
    assert failure.error_id in caplog.text
    assert "secret" in caplog.text


async def test_an_action_error_speaks_for_itself() -> None:
    def refuse(view: View[State]) -> str:
        raise ActionError("NOT_YET", "Come back later", {"minutes": 5}, retryable=True)

    def badly(view: View[State]) -> str:
        raise ActionError("NOT_YET", "Come back later", {"minutes": cast(Any, {5})})

    assert await derive(refuse) == Failure("NOT_YET", "Come back later", {"minutes": 5}, retryable=True)
    failure = await derive(badly)
    assert (failure.reason, failure.message) == ("INTERNAL", "the derived value failed: JsonInvalidError")


async def test_one_that_takes_too_long_is_a_failure_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIME_LIMIT", 0.05)

    async def forever(view: View[State]) -> None:
        await asyncio.Event().wait()

    let_go = threading.Event()
    started = time.monotonic()
    failures = [
        *await asyncio.gather(*(derive(lambda view: let_go.wait(20)) for _ in range(5))),
        await derive(forever),
    ]
    assert time.monotonic() - started < 1.5
    let_go.set()
    assert {failure.message for failure in failures} == {"the derived value failed: TimeoutError"}


@pytest.mark.parametrize("left", ["given up", "left by its caller"])
async def test_one_that_never_ends_costs_two_threads_and_fails_at_once_until_it_does(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIME_LIMIT", 0.05)
    let_go, calls = threading.Event(), []

    def stuck(view: View[State]) -> str:
        calls.append(view)
        let_go.wait(20)
        return "done"

    deriving = [asyncio.ensure_future(derive(stuck)) for _ in range(MOST_STUCK)]
    await until(lambda: len(calls) == MOST_STUCK)
    if left == "given up":
        failures = await asyncio.gather(*deriving)
        assert {failure.message for failure in failures} == {"the derived value failed: TimeoutError"}
    else:
        for each in deriving:
            each.cancel()
        await asyncio.wait(deriving)
    await asyncio.sleep(0.1)  # past the limit of those that were left
    started = time.monotonic()
    for _ in range(100):
        assert (await derive(stuck)).message == "the derived value failed: StuckError"
    assert time.monotonic() - started < 2.5  # one that waits takes 0.05 s
    assert len(calls) == MOST_STUCK
    assert await derive(lambda view: "another") == "another"
    let_go.set()

    async def goes_again() -> bool:
        return bool(await derive(stuck) == "done")

    await until(goes_again)


async def test_cancelling_the_caller_is_not_a_failure() -> None:
    begun, let_go = threading.Event(), threading.Event()

    def slowly(view: View[State]) -> None:
        begun.set()
        let_go.wait(20)

    deriving = asyncio.ensure_future(derive(slowly))
    assert await asyncio.to_thread(begun.wait, 20)
    deriving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deriving
    let_go.set()
