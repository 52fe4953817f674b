"""A clock that never runs backwards, whatever is done to the machine's."""

from __future__ import annotations

import pytest

from flowstate_server.model.clock import FARTHEST, SECOND, ForwardClock, Micros

NOON = 1_790_000_000 * SECOND
HOUR = 3_600 * SECOND


class Machine:
    def __init__(self) -> None:
        self.wall = NOON
        self.up = 17 * SECOND
        self.clock = ForwardClock(lambda: Micros(self.wall), lambda: self.up * 1_000)

    def let_pass(self, time: int) -> None:
        self.wall += time
        self.up += time


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_is_the_machines_clock(machine: Machine) -> None:
    assert machine.clock.now() == NOON
    machine.let_pass(SECOND)
    assert machine.clock.now() == NOON + SECOND
    machine.wall += HOUR
    assert machine.clock.now() == NOON + SECOND + HOUR


def test_set_back_it_goes_on_at_its_own_pace(machine: Machine) -> None:
    machine.wall -= HOUR
    assert machine.clock.now() == NOON
    for passed in (SECOND, 2 * SECOND):
        machine.let_pass(SECOND)
        assert machine.clock.now() == NOON + passed
    machine.wall += 2 * HOUR
    assert machine.clock.now() == NOON + 2 * SECOND + HOUR


def test_it_is_never_earlier_than_a_time_found(machine: Machine) -> None:
    machine.clock.follow(Micros(NOON + HOUR))
    machine.let_pass(SECOND)
    assert machine.clock.now() == NOON + HOUR + SECOND
    machine.clock.follow(Micros(NOON))
    assert machine.clock.now() == NOON + HOUR + SECOND


def test_a_time_found_that_must_be_wrong_is_passed_over(machine: Machine) -> None:
    machine.clock.follow(Micros(NOON + FARTHEST + 1))
    assert machine.clock.now() == NOON
    machine.clock.follow(Micros(NOON + FARTHEST))
    assert machine.clock.now() == NOON + FARTHEST


def test_time_lost_between_two_readings_does_not_add_up() -> None:
    wall, up = NOON, 0

    def slow_reading() -> int:
        nonlocal up, wall
        wall, up = wall + SECOND, up + SECOND
        return up * 1_000

    clock = ForwardClock(lambda: Micros(wall), slow_reading)
    for _ in range(100):
        assert clock.now() <= wall
