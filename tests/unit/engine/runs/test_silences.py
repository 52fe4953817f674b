"""Who may be fenced: whose renewals have stood still for a lease, by the looker's own clock."""

from __future__ import annotations

from flowstate_server.engine.runs.silences import Silences
from flowstate_server.model.clock import SECOND, Micros, Seconds
from flowstate_server.model.records import ProcessRecord


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def process(renew_time: int, lease: int = 3) -> ProcessRecord:
    return ProcessRecord("p", Micros(lease * SECOND), renew_time=Micros(renew_time))


def looked_on(silences: Silences, clock: Clock, seconds: float, row: ProcessRecord) -> bool:
    """Look every second for so long; whether the process is silent in the end."""
    for _ in range(int(seconds)):
        clock.now += 1.0
        silences.note([row])
    return silences.lasts(row)


def test_it_is_silent_after_a_lease_without_a_renewal() -> None:
    silences = Silences(Seconds(3.0), clock := Clock())
    assert not looked_on(silences, clock, 3, process(1))
    assert looked_on(silences, clock, 1, process(1))


def test_a18_a_renewal_begins_it_anew_whatever_time_it_says() -> None:
    silences = Silences(Seconds(3.0), clock := Clock())
    looked_on(silences, clock, 3, process(1))
    assert not looked_on(silences, clock, 3, process(0))
    assert looked_on(silences, clock, 1, process(0))


def test_a18_one_that_renewed_since_it_was_read_is_not_silent() -> None:
    silences = Silences(Seconds(3.0), clock := Clock())
    assert looked_on(silences, clock, 4, process(1))
    assert not silences.lasts(process(2))


def test_a8_who_looked_away_begins_anew() -> None:
    silences = Silences(Seconds(3.0), clock := Clock())
    assert looked_on(silences, clock, 4, process(1))
    clock.now += 1.6
    assert not silences.lasts(process(1))
    assert not looked_on(silences, clock, 3, process(1))
    assert looked_on(silences, clock, 1, process(1))


def test_the_lease_is_that_of_the_process() -> None:
    silences = Silences(Seconds(60.0), clock := Clock())
    assert looked_on(silences, clock, 3, process(1, lease=2))
