"""What a sequencer of integers does, said a second time and as plainly as can be.

A block is an :class:`Op` or a :class:`Seq`. Where tasks race, for who fails first, there are several ends; each is an
outcome with a trace of the handlers that ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

SIZE = 97
CANCELLED = "cancelled"


@dataclass(frozen=True)
class Op:
    """A handler: adds ``number``; fails with ``code`` where the value is a multiple of ``fails`` (0: never)."""

    name: str
    number: int
    fails: int = 0
    code: str = ""
    pauses: int = 0

    def does(self, value: int) -> Any:
        return Fail(self.code) if self.fails and value % self.fails == 0 else (value + self.number) % SIZE


@dataclass(frozen=True)
class Seq:
    name: str
    steps: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Fail:
    code: str


@dataclass
class Trace:
    """Handlers that ran: ``sure`` did, ``maybe`` did if there was time. ``after`` has pairs: if the second ran it was
    after the first; ``needs`` those of them where the first must have run."""

    sure: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    after: set[tuple[str, str]] = field(default_factory=set)
    needs: set[tuple[str, str]] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.sure | self.maybe

    def beside(self, other: Trace) -> Trace:
        return Trace(
            self.sure | other.sure,
            self.maybe | other.maybe,
            self.after | other.after,
            self.needs | other.needs,
        )

    def then(self, other: Trace, *, aside: Trace | None = None) -> Trace:
        """``other`` after all but what runs ``aside`` of it."""
        ahead = self if aside is None else Trace(self.sure - aside.all, self.maybe - aside.all)
        both = self.beside(other)
        both.after |= set(product(ahead.all, other.all))
        both.needs |= set(product(ahead.sure, other.all))
        return both

    def cut(self) -> Trace:
        """Cancelled somewhere."""
        return Trace(set(), self.all, self.after, self.needs)

    def fits(self, log: list[str]) -> bool:
        place = {path: index for index, path in enumerate(log)}
        return (
            len(place) == len(log)
            and self.sure <= place.keys() <= self.all
            and all(one in place for one, other in self.needs if other in place)
            and all(place[one] < place[other] for one, other in self.after if {one, other} <= place.keys())
        )


End = tuple[Any, Trace]


def ends_of(block: Op | Seq, value: int, path: str) -> Iterator[End]:
    if isinstance(block, Op):
        yield block.does(value), Trace({path})
    else:
        yield from _Run(block, path).go(0, value, None, {}, {}, Trace(), ())


def holds(condition: tuple[int, int], value: int) -> bool:
    return value % condition[0] == condition[1]


@dataclass
class _Run:
    seq: Seq
    path: str

    def go(
        self,
        index: int,
        value: int,
        failure: Fail | None,
        back: dict[int, int],
        passes: dict[str, int],
        trace: Trace,
        chains: tuple[End, ...],
    ) -> Iterator[End]:
        aside = _together(chain for _, chain in chains)
        if index >= len(self.seq.steps):
            if failure is not None:  # what still runs aside is cancelled
                cut = Trace(trace.sure - aside.sure, trace.maybe | aside.sure, trace.after, trace.needs)
                yield failure, cut
            else:
                yield value, trace
            return
        kind, *more = self.seq.steps[index]
        passes, back, next_ = dict(passes), dict(back), index + 1

        def go_on(ends: Iterator[End], keep: bool = False) -> Iterator[End]:
            for outcome, ran in ends:
                so_far = trace.then(ran, aside=aside)
                failed = outcome if isinstance(outcome, Fail) else None
                new = value if failed is not None or keep else outcome
                yield from self.go(next_, new, failed, back, passes, so_far, chains)

        def one(block: Op | Seq) -> Iterator[End]:
            return ends_of(block, value, self._named(block.name, passes))

        def at_once(outcome: Any) -> Iterator[End]:
            return go_on(iter([(outcome, Trace())]))

        if failure is not None:
            arms = more[0] if kind == "rescue" else ()
            arm = next((block for match, block in arms if match in (failure.code, "*")), None)
            if arm is None:
                yield from self.go(next_, value, failure, back, passes, trace, chains)
            else:
                yield from go_on(one(arm))
        elif kind in ("step", "tap"):
            yield from go_on(one(more[0]), keep=kind == "tap")
        elif kind in ("step_if", "tap_if"):
            yield from go_on(one(more[1]), keep=kind == "tap_if") if holds(more[0], value) else at_once(value)
        elif kind == "map":
            yield from at_once((value + more[0]) % SIZE)
        elif kind == "parallel":
            jobs = [(block, value, self._named(key, passes)) for key, block in more[0]]
            yield from go_on(_side_by_side(jobs, more[1]))
        elif kind == "for_each":
            count, block, most = more
            jobs = [(block, value + n, self._named(block.name, passes)) for n in range(count)]
            yield from go_on(_side_by_side(jobs, most))
        elif kind == "branch":
            ways, otherwise = more
            way = next((block for condition, block in ways if holds(condition, value)), otherwise)
            yield from at_once(value) if way is None else go_on(one(way))
        elif kind == "loop":
            yield from go_on(self._loop(more, value, passes, passes.get(more[0].name, 0), 0, Trace()))
        elif kind == "loop_back":
            to, condition, most = more
            if not holds(condition, value):
                back.pop(index, None)
            elif back.get(index, 0) == most:
                yield from at_once(Fail("LOOP_BOUND_EXCEEDED"))
                return
            else:
                back = {key: n for key, n in back.items() if not to <= key < index} | {
                    index: back.get(index, 0) + 1
                }
                next_ = to
            yield from at_once(value)
        elif kind == "exit_if":
            next_ = len(self.seq.steps) if holds(more[0], value) else next_
            yield from at_once(value)
        elif kind == "throw_if":
            yield from at_once(Fail(more[1]) if holds(more[0], value) else value)
        elif kind == "rescue":
            yield from at_once(value)
        elif kind == "side_chain":
            for end in one(more[0]):
                beside = trace.then(end[1], aside=aside)
                yield from self.go(next_, value, None, back, passes, beside, (*chains, end))
        else:
            failed = (
                next((outcome for outcome, _ in chains if isinstance(outcome, Fail)), None)
                if more[0]
                else None
            )
            yield from self.go(next_, value, failed, back, passes, trace, ())

    def _loop(
        self, said: list[Any], value: int, passes: dict[str, int], before: int, done: int, trace: Trace
    ) -> Iterator[End]:
        block, condition, goes_on, most = said
        if done == most:
            yield Fail("LOOP_BOUND_EXCEEDED"), trace
            return
        passes[block.name] = before + done
        for outcome, ran in ends_of(block, value, self._named(block.name, passes)):
            passes[block.name] = before + done + 1  # of this end, not of others
            so_far = trace.then(ran)
            if isinstance(outcome, Fail) or holds(condition, outcome) is not goes_on:
                yield outcome, so_far
            else:
                yield from self._loop(said, outcome, passes, before, done + 1, so_far)

    def _named(self, name: str, passes: dict[str, int]) -> str:
        passes[name] = passes.get(name, 0) + 1
        return f"{self.path}/{name}" + ("" if passes[name] == 1 else f"#{passes[name]}")


def _together(traces: Iterator[Trace]) -> Trace:
    both = Trace()
    for trace in traces:
        both = both.beside(trace)
    return both


def _side_by_side(jobs: list[tuple[Op | Seq, int, str]], most: int | None) -> Iterator[End]:
    """The sum of what the jobs give; if some fail, any of these may be the first."""
    for ends in product(*(list(ends_of(*job)) for job in jobs)):
        failed = [index for index, (outcome, _) in enumerate(ends) if isinstance(outcome, Fail)]
        if most == 1:
            trace = Trace()
            for _outcome, ran in ends[: failed[0] + 1] if failed else ends:
                trace = trace.then(ran)
            yield (ends[failed[0]][0] if failed else _sum(ends)), trace
        elif not failed:
            yield _sum(ends), _together(ran for _, ran in ends)
        for first in failed if most != 1 else ():
            others = (ran.cut() for index, (_, ran) in enumerate(ends) if index != first)
            yield ends[first][0], _together(iter([ends[first][1], *others]))


def _sum(ends: tuple[End, ...]) -> int:
    return int(sum(outcome for outcome, _ in ends) % SIZE)
