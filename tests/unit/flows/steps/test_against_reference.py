"""Sequencers do what the reference interpreter says, whatever is composed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import assume, given, settings, strategies as st

from flowstate_server.flows import ActionError, Block, Context, Rescued, handler, sequencer
from tests.unit.flows.steps.local_run import EventsOnly, executed
from tests.unit.flows.steps.reference import SIZE, Fail, Op, Seq, ends_of, holds

MOST_ENDS = 200
NAMEABLE = ("step", "step_if", "tap", "tap_if", "map", "parallel", "for_each", "branch", "loop")
CONDITIONS = st.sampled_from([(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (5, 2)])
CODES = ("A", "B", "ValueError")
WIDTHS = st.sampled_from([None, 1, 2])
Draw = Callable[[st.SearchStrategy[Any]], Any]


def op(draw: Draw, names: Iterator[int]) -> Op:
    fails = draw(st.sampled_from([0, 0, 0, 2, 3]))
    number = draw(st.integers(0, 9))
    return Op(f"b{next(names)}", number, fails, draw(st.sampled_from(CODES)), draw(st.integers(0, 2)))


def block(draw: Draw, names: Iterator[int], depth: int, known: list[Op | Seq]) -> Op | Seq:
    chosen = draw(st.integers(0, 9))
    if chosen == 0 and known:
        again: Op | Seq = draw(st.sampled_from(known))
        return again
    made = seq(draw, names, depth - 1) if chosen < 4 and depth else op(draw, names)
    known.append(made)
    return made


def seq(draw: Draw, names: Iterator[int], depth: int) -> Seq:
    name = f"s{next(names)}"
    steps: list[tuple[Any, ...]] = []
    known: list[Op | Seq] = []
    kinds = [*NAMEABLE, "loop_back", "exit_if", "throw_if", "rescue", "rescue", "side_chain", "join"]
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(kinds))
        named = [index for index, (one, *_) in enumerate(steps) if one in NAMEABLE]

        def one() -> Op | Seq:
            return block(draw, names, depth, known)

        if kind in ("step", "tap", "side_chain"):
            steps.append((kind, one()))
        elif kind in ("step_if", "tap_if"):
            steps.append((kind, draw(CONDITIONS), one()))
        elif kind == "map":
            steps.append((kind, draw(st.integers(0, 9))))
        elif kind == "parallel":
            keys = "abc"[: draw(st.integers(1, 3))]
            steps.append((kind, [(f"{name}-{len(steps)}{key}", one()) for key in keys], draw(WIDTHS)))
        elif kind == "for_each":
            steps.append((kind, draw(st.integers(0, 3)), one(), draw(WIDTHS)))
        elif kind == "branch":
            ways = [(draw(CONDITIONS), one()) for _ in range(draw(st.integers(1, 2)))]
            steps.append((kind, ways, one() if draw(st.booleans()) else None))
        elif kind == "loop":
            steps.append((kind, one(), draw(CONDITIONS), draw(st.booleans()), draw(st.integers(1, 3))))
        elif kind == "loop_back" and named:
            steps.append((kind, draw(st.sampled_from(named)), draw(CONDITIONS), draw(st.integers(1, 2))))
        elif kind == "exit_if":
            steps.append((kind, draw(CONDITIONS)))
        elif kind == "throw_if":
            steps.append((kind, draw(CONDITIONS), draw(st.sampled_from(CODES[:2]))))
        elif kind == "rescue" and steps:
            matches = draw(st.lists(st.sampled_from([*CODES, "*"]), min_size=1, max_size=2))
            steps.append((kind, [(match, op(draw, names)) for match in matches]))
        elif kind == "join" and any(one == "side_chain" for one, *_ in steps):
            steps.append((kind, draw(st.booleans())))
    return Seq(name, tuple(steps) or (("map", 1),))


@st.composite
def sequences(draw: Draw) -> Seq:
    return seq(draw, itertools.count(), 2)


class Builder:
    """Makes the blocks that the reference speaks of, each once."""

    def __init__(self) -> None:
        self.made: dict[str, Block[Any, Any]] = {}

    def block(self, said: Op | Seq) -> Block[Any, Any]:
        if said.name not in self.made:
            self.made[said.name] = _handler(said) if isinstance(said, Op) else self.sequencer(said)
        return self.made[said.name]

    def sequencer(self, said: Seq) -> Block[Any, Any]:
        made: Any = sequencer(said.name, input=int)
        for index, (kind, *more) in enumerate(said.steps):
            name = f"step {index}"
            if kind in ("step", "tap"):
                made = getattr(made, kind)(self.block(more[0]), name=name)
            elif kind in ("step_if", "tap_if"):
                made = getattr(made, kind)(_when(more[0]), self.block(more[1]), name=name)
            elif kind == "map":
                made = made.map(_plus(more[0]), name=name)
            elif kind == "parallel":
                blocks = {key: self.block(one) for key, one in more[0]}
                made = made.parallel(blocks, max_concurrency=more[1], name=name)
                made = made.map(lambda outputs: sum(outputs.values()) % SIZE)
            elif kind == "for_each":
                made = made.map(_elements(more[0]), name=name)
                made = made.for_each(self.block(more[1]), max_concurrency=more[2], name=f"{name} each")
                made = made.map(lambda outputs: sum(outputs) % SIZE)
            elif kind == "branch":
                ways = [(_when(condition), self.block(one)) for condition, one in more[0]]
                otherwise = None if more[1] is None else self.block(more[1])
                made = made.branch(*ways, otherwise=otherwise, name=name)
            elif kind == "loop":
                loop = made.do_while if more[2] else made.do_until
                made = loop(self.block(more[0]), _when(more[1]), max_iterations=more[3], name=name)
            elif kind == "loop_back":
                made = made.loop_back(f"step {more[0]}", _when(more[1]), max_iterations=more[2])
            elif kind == "exit_if":
                made = made.exit_if(_when(more[0]))
            elif kind == "throw_if":
                made = made.throw_if(_when(more[0]), ActionError(more[1], "thrown"))
            elif kind == "rescue":
                made = made.rescue(*((_match(match), _rescuer(one)) for match, one in more[0]))
            elif kind == "side_chain":
                made = made.side_chain(self.block(more[0]))
            else:
                made = made.join(fail_on_error=more[0])
        built: Block[Any, Any] = made
        return built


def _when(condition: tuple[int, int]) -> Callable[[int, Any], Any]:
    async def slowly(value: int, ctx: Any) -> bool:
        await asyncio.sleep(0)
        return holds(condition, value)

    return slowly if condition[0] == 3 else lambda value, ctx: holds(condition, value)


def _plus(number: int) -> Callable[[int], int]:
    return lambda value: (value + number) % SIZE


def _elements(count: int) -> Callable[[int], list[int]]:
    return lambda value: [value + number for number in range(count)]


def _match(match: str) -> Any:
    return {"ValueError": ValueError, "*": Exception}.get(match, match)


async def _done(said: Op, value: int) -> int:
    for _ in range(said.pauses):
        await asyncio.sleep(0)
    outcome = said.does(value)
    if isinstance(outcome, Fail):
        raise ValueError if outcome.code == "ValueError" else ActionError(outcome.code, "failed")
    return int(outcome)


def _handler(said: Op) -> Block[int, int]:
    @handler(name=said.name)
    async def run(value: int, ctx: Context) -> int:
        return await _done(said, value)

    return run


def _rescuer(said: Op) -> Block[Rescued[Any], int]:
    @handler(name=said.name)
    async def run(rescued: Rescued[Any], ctx: Context) -> int:
        value = rescued.value
        return await _done(said, value[0] if isinstance(value, list) else value)

    return run


@settings(max_examples=300, deadline=None)
@given(sequences(), st.integers(0, 10))
def test_it_does_what_the_reference_does(said: Seq, value: int) -> None:
    ends = list(itertools.islice(ends_of(said, value, said.name), MOST_ENDS + 1))
    assume(len(ends) <= MOST_ENDS)
    run = EventsOnly()

    async def outcome() -> Any:
        try:
            return await executed(Builder().block(said), value, run)
        except ActionError as error:
            return Fail(error.code)
        except ValueError:
            return Fail("ValueError")

    ended = asyncio.run(outcome())

    assert ended in [end for end, _ in ends]
    assert any(end == ended and trace.fits(run.handlers) for end, trace in ends), run.handlers
    assert len(run.failed) == len(set(run.failed)), "told twice"
    told = [path for path, how in run.outcomes if how == "failed"]
    assert {path for path in told if path in run.handlers} <= set(run.failed)
