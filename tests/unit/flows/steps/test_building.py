"""What can't run is refused when a sequencer is built, with the step at fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NoReturn, Union, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError, LeaseLostError, RequestTerminalError
from flowstate_server.flows import (
    ActionError,
    Context,
    ReadingContext,
    Rescued,
    action,
    handler,
    router,
    sequencer,
)


class Ask(BaseModel):
    text: str


@handler
async def ask(value: Ask, ctx: Context) -> Ask:
    return value


@handler
async def answer(value: Ask, ctx: Context) -> str:
    return value.text


@handler
async def length(value: str, ctx: Context) -> int:
    return len(value)


@handler
async def note(value: Any, ctx: Context) -> None: ...


@handler
async def mend(rescued: Rescued[Any], ctx: Context) -> str:
    return "mended"


@handler(name="answer")
async def other_answer(value: Ask, ctx: Context) -> str:
    return value.text


@handler
async def measure(value: list[str], ctx: Context) -> int:
    return len(value)


def always(value: Any, ctx: ReadingContext) -> bool:
    return True


def chosen(value: Any, ctx: ReadingContext) -> str:
    return "a"


mending: Any = mend
any_: Any = sequencer("plan", input=Ask)
asked: Any = sequencer("plan").step(ask)
answered: Any = asked.step(answer)
each: Any = sequencer("plan").for_each(answer)
empty: Any = sequencer("plan")
thrown = ActionError("NO", "no")


@pytest.mark.parametrize(
    ("built", "gives"),
    [
        (asked.step_if(always, answer), Union[Ask, str]),  # noqa: UP007
        (asked.step_if(always, ask), Ask),
        (asked.tap(note).tap_if(always, note), Ask),
        (asked.parallel({"a": answer, "b": answer}), dict[str, Any]),
        (answered.map(len), Any),
        (answered.map(str.split).map(list), list),
        (sequencer("plan").for_each(answer), list[str]),
        (asked.branch((always, answer)), Union[str, Ask]),  # noqa: UP007
        (asked.branch((always, answer), otherwise=answer), str),
        (sequencer("plan").branch((always, answer)), Union[str, Ask]),  # noqa: UP007
        (sequencer("plan").branch((always, answer), otherwise=answer), str),
        (sequencer("plan").do_while(ask, always).do_until(ask, always), Ask),
        (asked.loop_back("ask", always).exit_if(always).throw_if(always, thrown), Ask),
        (answered.rescue((ValueError, mend), ("NO", mend)), str),
        (asked.step_if(always, note).tap(note), Union[Ask, None]),  # noqa: UP007
        (asked.side_chain(answer).join(timeout=1, fail_on_error=True), Ask),
        (asked.side_chain(answer).join(timeout=timedelta(seconds=1)), Ask),
        (any_.map(lambda value: value), Any),
    ],
)
def test_says_what_it_gives(built: Any, gives: Any) -> None:
    assert built.output_type == gives
    assert built.input_type in (Ask, list[Ask])


def test_a_failure_may_be_given_where_nothing_says_otherwise() -> None:
    answered.rescue((ValueError, sequencer("worse").tap(note).step(mend)))
    answered.rescue((ValueError, router("r", {"a": mend}, choose=chosen)))
    asked.map(lambda value: value).step(mend)
    either: Any = Ask | Rescued[Ask]
    sequencer("plan", input=either).step(mend)
    router("r", {"a": mend}, choose=chosen, input=Any)


def test_a_function_says_what_it_gives() -> None:
    def shout(text: str) -> str:
        return text.upper()

    async def count(text: str) -> int:
        return len(text)

    def never(text: str) -> NoReturn:
        raise ValueError

    def later(text: str) -> Awaitable[int]:
        return count(text)

    assert answered.map(shout).output_type is str
    assert answered.map(never).output_type is Any
    assert answered.map(later).output_type is Any
    assert answered.map(count).output_type is int
    with pytest.raises(
        FlowDefinitionError, match='step 2 of sequencer "plan", map, takes str, but is given Ask'
    ):
        asked.map(shout)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: asked.step_if(always, length), 'step 2 .* length, takes str, but is given Ask by "ask"'),
        (lambda: asked.tap_if(always, length), "length, takes str, but is given Ask"),
        (lambda: asked.step_if(None, answer), "when in step 2 .* must be a function of \\(value, context\\)"),
        (lambda: asked.exit_if(lambda value: True), "when in step 2 .* of \\(value, context\\), not of"),
        (
            lambda: asked.map(lambda: 1),
            "what map gets in step 2 .* must be a function of \\(value\\), not of",
        ),
        (
            lambda: asked.step(mend),
            'step 2 .* mend, takes Rescued, which .rescue.* but is given Ask by "ask"',
        ),
        (lambda: asked.tap_if(always, mend), "mend, takes Rescued, .* but is given Ask"),
        (lambda: asked.parallel({"a": mend}), "mend, takes Rescued, .* but is given Ask"),
        (lambda: asked.branch((always, answer), otherwise=mend), "mend, takes Rescued, .* but is given Ask"),
        (lambda: asked.side_chain(mend), "mend, takes Rescued, .* but is given Ask"),
        (lambda: asked.do_while(mend, always), "mend, takes Rescued, .* but is given Ask"),
        (lambda: each.for_each(mend), "mend, takes Rescued, .* but is given str"),
        (lambda: each.step(mend), "mend, takes Rescued, .* but is given list"),
        (lambda: asked.step_if(always, answer).step(mend), "mend, takes Rescued, .* but is given"),
        (
            lambda: action(input=Ask, block=mending),
            'block "mend" takes Rescued, .* but is given Ask by the action',
        ),
        (lambda: action(input=list[str], block=mending), "takes Rescued, .* but is given list"),
        (
            lambda: router("r", {"a": answer, "b": mending}, choose=chosen),
            'route "b" of router "r" takes Rescued, .* but is given Ask by the router',
        ),
        (
            lambda: asked.step(router("r", {"a": mend}, choose=chosen)),
            "r, takes Rescued, .* but is given Ask",
        ),
        (empty.branch, "step 1 .* needs at least one \\(when, block\\)"),
        (lambda: empty.branch(answer), "step 1 .* needs at least one \\(when, block\\), each as a tuple"),
        (lambda: empty.branch((always, len)), "step 1 .* needs a block, not the function len"),
        (lambda: empty.branch((always, answer), (always, length)), "length, takes str, but is given Ask"),
        (lambda: asked.parallel({}), "step 2 .* needs at least one block to run, as a dict by name"),
        (lambda: sequencer("plan").parallel({}), "step 1 .* needs at least one block"),
        (lambda: asked.parallel({"a": answer, "b": length}), "length, takes str, but is given Ask"),
        (lambda: asked.parallel({"a#2": answer}), "a name in step 2 .* must not end with # and a number"),
        (lambda: asked.parallel({"": answer}), "a name in step 2 .* must not be empty"),
        (lambda: asked.parallel({"a": answer}, max_concurrency=0), "max_concurrency, .* at least 1"),
        (lambda: asked.for_each(answer), "for_each, needs a list of elements, but is given Ask"),
        (lambda: answered.for_each(length), "for_each, needs a list of elements, but is given str"),
        (lambda: each.for_each(ask), "ask, takes Ask, but is given str"),
        (lambda: sequencer("plan").for_each(answer, max_concurrency=True), "max_concurrency"),
        (asked.branch, "step 2 .* needs at least one \\(when, block\\)"),
        (lambda: asked.branch(answer), "needs at least one \\(when, block\\), each as a tuple"),
        (lambda: asked.branch((always, length)), "length, takes str, but is given Ask"),
        (lambda: asked.branch((always, answer), otherwise=length), "length, takes str"),
        (lambda: asked.do_while(answer, always), "answer, takes Ask, but is given str by itself"),
        (lambda: asked.do_until(ask, always, max_iterations=0), "max_iterations must be .* at least 1"),
        (lambda: asked.loop_back("later", always).step(answer), 'goes back to "later", but no earlier step'),
        (lambda: answered.loop_back("answer", always), 'back to "answer", which takes Ask, but is given str'),
        (
            lambda: asked.tap(ask).loop_back("ask", always),
            'goes back to "ask", but 2 earlier steps are named so',
        ),
        (lambda: asked.loop_back("ask", always, max_iterations=-1), "max_iterations must be"),
        (lambda: answered.tap(note, name="answer"), 'step 3 .* is named "answer", as an earlier step is'),
        (lambda: answered.tap(note, name=""), "the name of step 3 .* must not be empty"),
        (lambda: asked.throw_if(always, ValueError("no")), "the error of step 2 .* must be a function"),
        (lambda: any_.rescue((ValueError, mend)), "step 1 .* has nothing before it to rescue"),
        (answered.rescue, "step 3 .* needs at least one \\(match, block\\)"),
        (lambda: answered.rescue((ValueError, answer)), "answer, takes Ask, but is given Rescued"),
        (lambda: answered.rescue((ValueError, length)), "length, takes str, but is given Rescued"),
        (lambda: answered.rescue(("", mend)), "must match an exception type or the code"),
        (lambda: answered.rescue((answer, mend)), "must match an exception type or the code"),
        (lambda: empty.tap(ask, name=""), "the name of step 1 .* must not be empty"),
        (
            lambda: asked.side_chain(ask).join(timeout=0),
            "the timeout of step 3 .*, join, takes a positive number",
        ),
        (asked.join, "step 2 .* has no side chain before it to join"),
        (lambda: asked.step(answer).step(other_answer), "step 3 .* takes"),
        (
            lambda: asked.tap(answer).tap(other_answer),
            'another block than an earlier step under the name "answer"',
        ),
        (lambda: asked.branch((always, answer), otherwise=other_answer), 'under the name "answer"'),
        (lambda: empty.map(len), 'step 1 .*, map: say what it takes, sequencer\\("plan", input='),
        (
            lambda: action(block=answered.exit_if(always).step(length)),
            "end of .* takes int, but is given str",
        ),
        (
            lambda: action(block=sequencer("plan").step(ask).exit_if(always).step(answer)),
            "by step 2, exit_if",
        ),
    ],
)
def test_refuses_what_cannot_run(build: Callable[[], Any], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        build()


@pytest.mark.parametrize(
    "match",
    [
        BaseException,
        asyncio.CancelledError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        LeaseLostError,
        RequestTerminalError,
    ],
)
def test_refuses_to_rescue_what_ends_a_run(match: Any) -> None:
    with pytest.raises(FlowDefinitionError, match=f"can't match {match.__name__}: what ends a run is never"):
        answered.rescue((match, mend))


def test_the_same_block_may_come_again_and_keys_may_repeat() -> None:
    asked.tap(answer).tap(answer).parallel({"a": answer}).map(lambda outputs: Ask(text="")).parallel(
        {"a": ask}
    )


def test_steps_are_shared_by_what_goes_on_from_them() -> None:
    one, other = asked.exit_if(always), asked.tap(note)
    assert (len(asked.steps), len(one.steps), len(other.steps)) == (1, 2, 2)
    assert asked.children == (ask,)


def test_knows_its_blocks_and_their_names_in_paths() -> None:
    plan = (
        asked.branch((always, ask), otherwise=ask)
        .parallel({"left": answer, "right": answer})
        .map(measure_of)
        .rescue((ValueError, mend))
        .side_chain(note)
    )
    assert [name for name, _ in plan.executions] == ["ask", "ask", "ask", "left", "right", "mend", "note"]
    assert plan.children == (ask, ask, ask, answer, answer, mend, note)


def measure_of(outputs: dict[str, Any]) -> str:
    return "-".join(outputs)


def test_an_unknown_method_of_a_beginning_is_no_step() -> None:
    with pytest.raises(AttributeError, match="no attribute 'steps_of'"):
        cast(Any, sequencer("plan")).steps_of()
