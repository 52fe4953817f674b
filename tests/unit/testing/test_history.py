"""The checker of histories: right ones pass, and each kind of wrong one is named."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest

from flowstate_server.state.operations import Operation, inc_state, patch_state, push_state
from flowstate_server.stores.contract.writes import AtVersion
from flowstate_server.testing.history import (
    Answer,
    Call,
    Delete,
    History,
    HistoryError,
    Key,
    Kind,
    Outcome,
    Read,
    Recorder,
    TooManyUnanswered,
    Write,
    check_history,
    read_history,
    require_history,
)
from flowstate_server.testing.history.recording import answer, refuse
from tests.support.histories import STEP, MadeUp, made_up

ADA: Key = ("user", "ada")
BOB: Key = ("user", "bob")
ADD = inc_state({"n": 1})


def add(key: Key = ADA, operations: tuple[Operation, ...] = ADD) -> Write:
    return Write(key, operations)


def kinds_of(history: History) -> set[Kind]:
    return {violation.kind for violation in check_history(history)}


def counted(calls: int = 10) -> MadeUp:
    """Increments one after another, and a read."""
    store = MadeUp(overlap=1)
    for _ in range(calls):
        store.call(add())
        store.quiet()
    store.call(Read(ADA))
    return store


@pytest.mark.parametrize("seed", range(20))
def test_a_right_history_passes(seed: int) -> None:
    require_history(made_up(400, 5, seed=seed).history)


@pytest.mark.parametrize("seed", range(20))
def test_unanswered_calls_may_have_happened_or_not(seed: int) -> None:
    require_history(made_up(300, 40, seed=seed, unknown=0.02).history)


@pytest.mark.soak
def test_a_hundred_thousand_calls_take_seconds() -> None:
    history = made_up(100_000, 2_000, seed=1).history
    began = process_time()
    require_history(history)
    assert process_time() - began < 10


def test_four_times_as_many_calls_take_about_four_times_as_long() -> None:
    def seconds(calls: int) -> float:
        history = made_up(calls, calls // 50, seed=1).history
        taken = []
        for _ in range(3):  # the collector of garbage comes when it likes
            began = process_time()
            require_history(history)
            taken.append(process_time() - began)
        return min(taken)

    assert seconds(16_000) < 10 * seconds(4_000)  # compared each with each they would take sixteen times


def test_a_record_may_be_deleted_and_made_anew() -> None:
    store = MadeUp()
    for _ in range(5):
        store.call(add())
        store.call(Delete(ADA))
        store.call(Read(ADA))
        store.call(Delete(ADA))
    require_history(store.history)


def test_a_repeat_is_the_same_call() -> None:
    store = counted()
    first = store.history.calls[3]
    first.idempotency_key, first.replayed = "key", False
    late = replace(first, id="late", began=10**9, ended=10**9 + 1, replayed=True)
    store.history.calls.append(late)
    require_history(store.history)


def test_a_first_attempt_that_was_not_answered_is_explained_by_its_repeat() -> None:
    store = counted()
    second = store.history.calls[3]
    second.idempotency_key = "key"
    first = replace(second, id="first", outcome=Outcome.UNKNOWN, answers=(), began=second.began - 1)
    store.history.calls.append(first)
    require_history(store.history)


def test_a_lost_update_is_found() -> None:
    store = counted()
    store.history.calls[-1].answers = (Answer(10, exists=True, state={"n": 9}),)
    assert kinds_of(store.history) == {Kind.WRONG_STATE}


def test_an_update_lost_between_two_writers_is_found() -> None:
    store = counted()
    for call in store.history.calls[5:-1]:
        (told,) = call.answers
        assert told.state is not None
        call.answers = (replace(told, state={"n": told.version - 1}),)
    [violation] = check_history(store.history)
    assert violation.kind is Kind.WRONG_STATE
    assert violation.involved == (store.history.calls[5],)


def test_a_version_given_twice_is_found() -> None:
    store = counted()
    store.history.calls[4].answers = store.history.calls[3].answers
    assert Kind.DUPLICATE_VERSION in kinds_of(store.history)


def test_a_gap_is_found() -> None:
    store = counted()
    del store.history.calls[4]
    [violation] = check_history(store.history)
    assert (violation.kind, violation.detail) == (Kind.GAP, "version 5")


def test_a_write_that_began_too_late_explains_no_gap() -> None:
    store = counted()
    missing = store.history.calls[4]
    missing.outcome, missing.answers = Outcome.UNKNOWN, ()
    require_history(store.history)
    missing.began = store.history.calls[-1].ended + 1
    assert kinds_of(store.history) == {Kind.GAP}


def test_a_write_explains_one_gap_only() -> None:
    store = counted()
    store.history.calls[4].outcome = Outcome.UNKNOWN
    del store.history.calls[6]
    assert [violation.kind for violation in check_history(store.history)] == [Kind.GAP]


def test_an_unanswered_write_that_makes_something_else_explains_no_gap() -> None:
    store = counted()
    other = store.history.calls[4]
    other.outcome, other.answers, other.parts = Outcome.UNKNOWN, (), (add(operations=patch_state({"m": 1})),)
    assert kinds_of(store.history) == {Kind.WRONG_STATE}


def test_a_stale_read_is_found() -> None:
    store = counted()
    store.history.calls[-1].answers = (Answer(9, exists=True, state={"n": 9}),)
    [violation] = check_history(store.history)
    assert violation.kind is Kind.STALE_READ
    assert violation.involved == (store.history.calls[9], store.history.calls[10])


def test_reads_that_go_backwards_are_found() -> None:
    writes = [
        Call(
            id="w1",
            parts=(add(),),
            began=0,
            ended=10,
            outcome=Outcome.ANSWERED,
            answers=(Answer(1, changed=True),),
        ),
        Call(
            id="w2",
            parts=(add(),),
            began=11,
            ended=100,
            outcome=Outcome.ANSWERED,
            answers=(Answer(2, changed=True),),
        ),
    ]
    newer = Call(
        id="newer",
        parts=(Read(ADA),),
        began=20,
        ended=30,
        outcome=Outcome.ANSWERED,
        answers=(Answer(2, exists=True),),
    )
    older = Call(
        id="older",
        parts=(Read(ADA),),
        began=40,
        ended=50,
        outcome=Outcome.ANSWERED,
        answers=(Answer(1, exists=True),),
    )
    require_history(History([*writes, newer, replace(older, began=25)]))
    assert kinds_of(History([*writes, newer, older])) == {Kind.STALE_READ}


def test_reordered_answers_are_found() -> None:
    store = counted()
    one, other = store.history.calls[3:5]
    one.answers, other.answers = other.answers, one.answers
    assert kinds_of(store.history) == {Kind.REORDERED}


def test_a_retry_that_was_written_twice_is_found() -> None:
    store = counted()
    one, other = store.history.calls[3:5]
    one.idempotency_key = other.idempotency_key = "key"
    assert Kind.REPEAT in kinds_of(store.history)


def test_a_hidden_retry_that_was_written_twice_is_found() -> None:
    store = counted(9)
    store._perform((add(),))
    store.quiet()
    store.call(Read(ADA))
    assert kinds_of(store.history) == {Kind.GAP}


def test_a_replay_that_says_it_was_the_first_is_found() -> None:
    store = counted()
    first = store.history.calls[3]
    first.idempotency_key, first.replayed = "key", False
    store.history.calls.append(replace(first, id="again"))
    assert kinds_of(store.history) == {Kind.REPEAT}


def test_a_failed_precondition_that_held_is_found() -> None:
    store = counted()
    guarded = Write(ADA, ADD, AtVersion(10))
    store.history.calls.append(
        Call("r", (guarded,), 10**8, 10**8 + 1, Outcome.REFUSED, refusal="VersionMismatchError", current=10)
    )
    assert kinds_of(store.history) == {Kind.PRECONDITION}


def test_a_precondition_that_was_ignored_is_found() -> None:
    store = counted()
    store.history.calls[4].parts = (Write(ADA, ADD, AtVersion(2)),)
    assert kinds_of(store.history) == {Kind.PRECONDITION}


def test_a_change_that_was_called_none_is_found() -> None:
    store = counted()
    store.history.calls.append(
        Call(
            id="n",
            parts=(add(),),
            began=10**8,
            ended=10**8 + 1,
            outcome=Outcome.ANSWERED,
            answers=(Answer(10, exists=True),),
        )
    )
    assert kinds_of(store.history) == {Kind.WRONG_STATE}


def test_a_record_seen_after_its_delete_is_found() -> None:
    store = counted()
    store.call(Delete(ADA))
    store.quiet()
    read = store.call(Read(ADA))
    require_history(store.history)
    read.answers = (Answer(10, exists=True, state={"n": 10}),)
    assert kinds_of(store.history) == {Kind.STALE_READ}


def test_a_read_that_saw_half_a_batch_is_found() -> None:
    store = MadeUp()
    store.call(add(ADA), add(BOB))
    store.call(add(ADA), add(BOB))
    read = store.call(Read(ADA), Read(BOB))
    require_history(store.history)
    read.began = -STEP * 100
    read.answers = (Answer(1, exists=True), Answer(2, exists=True))
    assert kinds_of(store.history) == {Kind.NOT_SERIAL}


def test_batches_in_opposite_orders_are_found() -> None:
    both = (add(ADA), add(BOB))
    one = Call(
        id="one",
        parts=both,
        began=0,
        ended=10,
        outcome=Outcome.ANSWERED,
        answers=(Answer(1, changed=True), Answer(2, changed=True)),
    )
    other = Call(
        id="other",
        parts=both,
        began=0,
        ended=10,
        outcome=Outcome.ANSWERED,
        answers=(Answer(2, changed=True), Answer(1, changed=True)),
    )
    [violation] = check_history(History([one, other]))
    assert violation.kind is Kind.NOT_SERIAL
    assert {call.id for call in violation.involved if isinstance(call, Call)} == {"one", "other"}


def test_half_an_unanswered_batch_is_found() -> None:
    store = MadeUp()
    store.call(add(ADA), add(BOB))
    torn = store.call(add(ADA), add(BOB), unknown=True)
    store.quiet()
    read = store.call(Read(ADA), Read(BOB))
    require_history(store.history)
    read.answers = (read.answers[0], Answer(1, exists=True, state={"n": 1}))
    [violation] = check_history(store.history)
    assert violation.kind is Kind.HALF_WRITTEN
    assert violation.involved == (torn,)


@pytest.mark.parametrize("seed", range(30))
def test_any_answer_that_is_moved_is_found(seed: int) -> None:
    """Versions or states of two writes that had ended before the other began are exchanged."""
    store = made_up(60, 1, seed=seed)
    require_history(store.history)
    history, chance = copy.deepcopy(store.history), random.Random(seed)
    writes = [
        call for call in history.answered if isinstance(call.parts[0], Write) and call.answers[0].changed
    ]
    one, other = sorted(chance.sample(writes, 2), key=lambda call: call.answers[0].version)
    one.answers, other.answers = other.answers, one.answers
    assert check_history(history)


def test_the_error_names_the_first_violations_with_their_calls() -> None:
    store = counted(30)
    del store.history.calls[0:20:2]
    with pytest.raises(HistoryError) as raised:
        require_history(store.history)
    text = str(raised.value)
    assert text.startswith("10 violations\nGAP of user/ada: ")
    assert "version 1\n    call c1 [" in text
    assert text.endswith("... and 5 more")


def test_too_many_unanswered_writes_are_said_to_be_too_many() -> None:
    store = MadeUp()
    for number in range(40):
        store.call(add(operations=push_state("log", [number])), unknown=True)
    store.quiet()
    store.call(Read(ADA))
    with pytest.raises(TooManyUnanswered):
        check_history(store.history)


def test_histories_of_several_processes_are_put_together(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("one", "other")]
    with Recorder("one", paths[0]) as one, Recorder("other", paths[1]) as other:
        with one.call([Write(ADA, (*ADD, *push_state("log", [1, 1.0, None])), AtVersion(0))], "key") as call:
            answer(call, [Answer(1, True, True, {"n": 1, "log": [1, 1.0, None]})], replayed=False)
        with other.call([Read(ADA), Read(BOB)]) as call:
            answer(call, [Answer(1, exists=True), Answer(0, exists=False)])
        with other.call([Delete(ADA, AtVersion(9))]) as call:
            refuse(call, ValueError(), 1)
        with pytest.raises(OSError, match="gone"), other.call([add()]):
            raise OSError("gone")
    read = read_history(*paths)
    assert read == History.merged((one.history, other.history))
    require_history(read)


def test_what_a_killed_process_has_begun_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Recorder("one", path) as recorder:
        for version in (1, 2):
            with recorder.call([add()]) as call:
                answer(call, [Answer(version, changed=True)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:10]]))
    calls = read_history(path).calls
    assert [call.outcome for call in calls] == [Outcome.ANSWERED, Outcome.UNKNOWN]
    require_history(History(calls))
