"""What holds for the frames of every tail, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from grpc import aio

from flowstate.v1.event_service_pb2 import TailEventsResponse
from flowstate.v1.events_pb2 import Event

MAX_EVENTS = 256
MAX_BYTES = 256 * 1024
_ENVELOPE = 512
"""Bytes of an event on the wire beside its payload, with room to spare."""

Frame = TailEventsResponse


def kind(frame: Frame) -> str:
    """``started``, ``batch`` and so on."""
    return frame.WhichOneof("frame") or ""


def kinds(frames: Sequence[Frame]) -> list[str]:
    return [kind(frame) for frame in frames]


def events_of(frames: Sequence[Frame]) -> list[Event]:
    return [event for frame in frames for event in frame.batch.events]


def place(event: Event, of_session: bool) -> int:
    return event.session_sequence if of_session else event.sequence


def check_frames(frames: Sequence[Frame], after: int = 0, *, of_session: bool = False) -> list[Event]:
    """Checks the frames of one whole stream that began behind ``after`` against the protocol; gives the events."""
    names = kinds(frames)
    assert names[0] == "started"
    assert names.count("started") == 1
    assert frames[0].cursor.sequence == after
    assert names.count("caught_up") <= 1
    if "ended" in names:
        assert names.index("ended") == len(names) - 1
        assert names.count("caught_up") == 1
        assert frames[-1].ended.final_sequence == frames[-1].cursor.sequence
    assert len({frame.cursor.log_id for frame in frames}) == 1
    assert frames[0].cursor.log_id
    for before, frame in pairwise(frames):
        _check_frame(before, frame, of_session)
    events = events_of(frames)
    sequences = [place(event, of_session) for event in events]
    assert sequences == sorted(set(sequences)), "events out of order or repeated"
    return events


def _check_frame(before: Frame, frame: Frame, of_session: bool) -> None:
    position = before.cursor.sequence
    assert frame.cursor.sequence >= position
    match kind(frame):
        case "batch":
            batch = frame.batch
            assert batch.after_sequence == position
            assert 1 <= len(batch.events) <= MAX_EVENTS
            assert len(batch.events) == 1 or batch.ByteSize() <= MAX_BYTES + _ENVELOPE * len(batch.events)
            assert position < place(batch.events[0], of_session)
            assert place(batch.events[-1], of_session) <= frame.cursor.sequence
        case "trimmed":
            assert kind(before) != "trimmed"
            assert frame.cursor.sequence == position
            assert position < frame.trimmed.first <= frame.trimmed.last
        case "heartbeat":
            assert frame.heartbeat.latest_sequence >= frame.cursor.sequence
        case "caught_up" | "ended":
            pass
        case other:
            raise AssertionError(f"unexpected frame {other!r}")
    if kind(before) == "trimmed":
        assert kind(frame) == "batch", "a trimmed frame stands directly ahead of its batch"


async def next_frame(call: aio.UnaryStreamCall[Any, Any]) -> Frame:
    frame = await call.read()
    assert isinstance(frame, Frame), "the stream is over"
    return frame


async def read_until(
    call: aio.UnaryStreamCall[Any, Any], enough: Callable[[Frame], bool], frames: list[Frame] | None = None
) -> list[Frame]:
    """The frames up to the first that is ``enough``, appended to ``frames``."""
    read = [] if frames is None else frames
    while True:
        read.append(await next_frame(call))
        if enough(read[-1]):
            return read


def is_caught_up(frame: Frame) -> bool:
    return frame.HasField("caught_up")
