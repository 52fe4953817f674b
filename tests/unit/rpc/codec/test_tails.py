"""What is asked of a tail."""

from __future__ import annotations

from flowstate.v1.event_service_pb2 import EventFilter
from flowstate_server.engine.calls.logs import EVERYTHING
from flowstate_server.rpc.codec.tails import decode_filter

UNKNOWN = [f"later.{number}" for number in range(10_000)]


def test_an_empty_filter_narrows_nothing() -> None:
    assert decode_filter(EventFilter()) is EVERYTHING


def test_of_types_that_there_are_not_a_filter_keeps_nothing() -> None:
    """It is kept for as long as the tail is open: forty of them with all that fits a message took 2.5 GiB."""
    kept = decode_filter(EventFilter(types=[*UNKNOWN, "custom", "item.done", *UNKNOWN]))
    assert kept.types == {"custom", "item.done"}


def test_a_filter_of_such_types_alone_lets_nothing_through() -> None:
    assert len(decode_filter(EventFilter(types=UNKNOWN)).types) == 1
