"""Concurrency policies as authors write them, and what of them is refused when a flow is built."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import (
    Context,
    Flow,
    action,
    allow,
    define_flow,
    handler,
    interrupt,
    queue,
    reject,
)
from flowstate_server.flows.concurrency import ConcurrencyPolicy
from flowstate_server.model.clock import Seconds
from flowstate_server.model.gates import Policy
from flowstate_server.programs.concurrency import MAX_WAITING, Concurrency, GateBy


class Say(BaseModel):
    to: str


@handler
async def say(said: Say, ctx: Context) -> str:
    return said.to


def flow_of(**policies: ConcurrencyPolicy[Any]) -> Flow:
    return define_flow(
        kind="chat", actions={name: action(block=say, concurrency=one) for name, one in policies.items()}
    )


def described(policy: ConcurrencyPolicy[Any]) -> Concurrency | None:
    return flow_of(say=policy).described.actions["say"].concurrency


def test_a_policy_is_described_by_plain_values() -> None:
    assert described(queue()) == Concurrency(Policy.QUEUE, GateBy.SESSION, "", 100, Seconds(600.0))
    assert described(queue(by="user", group="talk", limit=3, timeout=timedelta(minutes=1))) == Concurrency(
        Policy.QUEUE, GateBy.USER, "talk", 3, Seconds(60.0)
    )
    assert described(reject(by=lambda said: said.to)) == Concurrency(Policy.REJECT, GateBy.INPUT)
    assert described(interrupt(by="user")) == Concurrency(Policy.INTERRUPT, GateBy.USER)


def test_any_number_runs_unless_an_action_says_otherwise() -> None:
    plain = define_flow(kind="chat", actions={"say": action(block=say)})
    assert plain.described.actions["say"].concurrency is described(allow()) is None
    assert plain.revision == flow_of(say=allow()).revision


def test_another_policy_is_another_revision() -> None:
    policies: list[ConcurrencyPolicy[Any]] = [
        allow(),
        reject(),
        queue(),
        queue(limit=3),
        queue(timeout=3),
        queue(by="user"),
        queue(group="g"),
    ]
    assert len({flow_of(say=policy).revision for policy in policies}) == len(policies)


async def test_a_key_is_made_of_the_input() -> None:
    program = flow_of(say=reject(by=lambda said: said.to)).program
    value = await program.check_input("say", b'{"to":"ada"}')
    assert await program.gate_key("say", value) == "ada"


async def test_a_key_that_is_no_text_names_the_action() -> None:
    number: Callable[[Say], Any] = lambda said: 1  # noqa: E731
    program = flow_of(say=reject(by=number)).program
    with pytest.raises(TypeError, match='"say" must be a string, not int'):
        await program.gate_key("say", Say(to="ada"))


async def test_a_key_that_fails_names_the_action_and_no_value() -> None:
    program = flow_of(say=reject(by=lambda said: {}[said.to])).program
    with pytest.raises(RuntimeError, match='"say" failed') as failed:
        await program.gate_key("say", Say(to="secret"))
    assert "secret" not in str(failed.value)


async def _key(said: Say) -> str:
    return said.to


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: queue(limit=0), f"from 1 to {MAX_WAITING}"),
    (lambda: queue(limit=MAX_WAITING + 1), f"from 1 to {MAX_WAITING}"),
    (lambda: queue(limit=True), "whole number"),
    (lambda: queue(timeout=0), "positive number of seconds"),
    (lambda: queue(timeout=float("inf")), "positive number of seconds"),
    (lambda: queue(timeout=timedelta(0)), "positive number of seconds"),
    (lambda: queue(by="org"), 'a queue policy\'s by must be "session", "user" or a function'),  # type: ignore[arg-type]
    (lambda: reject(by=_key), "must not be async"),  # type: ignore[arg-type]
    (lambda: interrupt(group="a\nb"), "group's name"),
    (lambda: action(block=say, concurrency="queue"), r"queue\(...\), reject\(...\)"),  # type: ignore[call-overload]
    (lambda: action(block=say, concurrency=queue), r"queue\(...\), reject\(...\)"),  # type: ignore[call-overload]
    (
        lambda: flow_of(a=queue(group="g"), b=reject(group="g", by="user")),
        'actions "a" and "b" share the concurrency group "g", but one goes by the session, the other by the user',
    ),
    (lambda: flow_of(a=queue(by="user"), b=queue(group="a")), '"a" and "b" share the concurrency group "a"'),
]


@pytest.mark.parametrize(("make", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_cannot_be_is_refused_when_it_is_built(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        make()


def test_actions_of_a_group_may_have_policies_of_their_own() -> None:
    assert flow_of(a=queue(group="g"), b=interrupt(group="g"), c=queue(by="user")).kind == "chat"
