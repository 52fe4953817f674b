"""Batches through loaded records: what each is answered, and what the group changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from flowstate_server.errors import ServiceError, VersionMismatchError
from flowstate_server.stores.commit.asked import Asked, NotAsked
from flowstate_server.stores.commit.meanings import MEANINGS, needs_of
from flowstate_server.stores.commit.repeats import answer_repeat, remember
from flowstate_server.stores.commit.working_documents import RangeSpent
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.tables import Changes, Loaded
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    Batch,
    ChangeState,
    CommitResult,
    PartlyCommitted,
    Savepoint,
    WriteResult,
)

Answer = CommitResult | Exception


class Decision(NamedTuple):
    """The answers of the batches that were decided, in order, and what they change together."""

    answers: list[Answer]
    changes: Changes


class BrokenChange(Exception):
    """What a batch called while it was decided raised what is no ``Exception``: ``SystemExit``, say."""


def decide(
    batches: Sequence[Batch],
    loaded: Loaded,
    *,
    seconds: float = float("inf"),
    asked: Asked | None = None,
) -> Decision:
    """Decide the batches in order, at least one, until ``seconds`` are over or one lacks what was not ``asked`` for
    (``None``: all that there is was loaded).

    A refused batch leaves no trace, whatever it raised, but for what stands before a savepoint; the others go on.
    """
    work = WorkingSet(loaded, asked)
    answers: list[Answer] = []
    deadline = perf_counter() + seconds
    for batch in batches:
        try:
            answer: Answer = _decide_batch(work, batch)
        except RangeSpent as spent:
            if answers:
                work.drop()
                break
            answer = _refused(work, batch, spent)
        except NotAsked:
            work.drop()
            break
        except Exception as error:
            answer = _refused(work, batch, error)
        except BaseException as error:
            broken = BrokenChange("a change raised what is no error")
            broken.__cause__ = error
            answer = _refused(work, batch, broken)
        else:
            work.keep()
        answers.append(answer)
        if perf_counter() >= deadline:
            break
    for batch, answer in zip(batches, answers, strict=False):
        lost = answer.error if isinstance(answer, PartlyCommitted) else answer
        if isinstance(lost, VersionMismatchError) and lost.refused_write is not None:
            write = batch[lost.refused_write]
            if isinstance(write, ChangeState):
                lost.newest = work.state(write.key)
    return Decision(answers, work.changes())


def _refused(work: WorkingSet, batch: Batch, error: Exception) -> Exception:
    """The answer of a batch that ``error`` refuses: dropped, but for what stands before a savepoint, which is decided
    anew as a batch of its own."""
    work.drop()
    for place, write in enumerate(batch):
        if type(write) is Savepoint:
            try:
                result = _decide_batch(work, batch[:place])
            except BaseException:  # it was that which is refused
                work.drop()
            else:
                work.keep()
                return PartlyCommitted(result, error)
    return error


def _decide_batch(work: WorkingSet, batch: Batch) -> CommitResult:
    repeat = answer_repeat(work, batch)
    if repeat is not None:
        return repeat
    results: list[WriteResult] = []
    try:
        for write in batch:
            results.append(MEANINGS[type(write)].work(work, write))  # noqa: PERF401 - their number is a refusal's place
    except ServiceError as error:
        error.refused_write = len(results)
        raise
    if batch and type(batch[-1]) is Withhold:
        raise Withheld(CommitResult(tuple(results[:-1]), work.time))
    remember(work, batch, results, needs_of)
    return CommitResult(tuple(results), work.time)
