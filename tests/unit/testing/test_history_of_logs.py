"""The checker of logs and tails."""

from __future__ import annotations

from flowstate_server.testing.history import Entry, Kind, Violation, check_log, check_tails

LOG = [
    Entry(1, "request.created"),
    Entry(2, "custom", "a"),
    Entry(3, "custom", "b"),
    Entry(4, "request.completed"),
]


def kinds(violations: list[Violation]) -> list[Kind]:
    return [violation.kind for violation in violations]


def test_a_right_log_passes() -> None:
    assert check_log(LOG) == []
    assert check_log(LOG[:3], ended=False) == []
    assert check_log(LOG[2:], after=2) == []
    assert check_log([*LOG, Entry(5, "custom")], ended=None) == []
    assert check_log([], ended=False) == []


def test_a_torn_log_is_found() -> None:
    assert kinds(check_log(LOG[:3])) == [Kind.LOG_END]
    assert kinds(check_log([LOG[0], *LOG[2:]])) == [Kind.LOG_HOLE]
    assert check_log([LOG[0], *LOG[2:]], holes=True) == []


def test_a_log_out_of_order_is_found() -> None:
    assert Kind.LOG_REPEAT in kinds(check_log([LOG[0], LOG[2], LOG[1], LOG[3]]))


def test_a_log_with_the_wrong_end_is_found() -> None:
    assert kinds(check_log([*LOG, Entry(5, "custom")])) == [Kind.LOG_END]
    assert kinds(check_log([*LOG, Entry(5, "request.failed")])) == [Kind.LOG_END]
    assert kinds(check_log(LOG, ended=False)) == [Kind.LOG_END]


def test_right_tails_pass() -> None:
    assert check_tails([LOG, LOG[:2], LOG[2:], []], afters=[0, 0, 2, 3]) == []
    assert check_tails([LOG, [LOG[1], LOG[3]]], holes=True) == []


def test_a_tail_with_a_hole_is_found() -> None:
    assert kinds(check_tails([LOG, [LOG[0], LOG[2]]])) == [Kind.LOG_HOLE]


def test_a_tail_with_a_repeat_is_found() -> None:
    assert kinds(check_tails([LOG, [LOG[0], LOG[1], LOG[1], LOG[2]]])) == [Kind.LOG_REPEAT]


def test_tails_that_differ_are_found() -> None:
    [violation] = check_tails([LOG, [LOG[0], Entry(2, "custom", "other")]])
    assert violation.kind is Kind.TAIL_DIFFERS
    assert violation.involved == (LOG[1], Entry(2, "custom", "other"))
