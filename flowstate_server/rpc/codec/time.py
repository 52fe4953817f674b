"""Times and durations. The model counts microseconds and has 0 for "not yet", the wire leaves that unset."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flowstate_server.model.clock import SECOND, Micros, Seconds, micros
from flowstate_server.rpc.message_fields import invalid

_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def encode_time(moment: Micros) -> Timestamp | None:
    if not moment:
        return None
    seconds, rest = divmod(moment, SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def set_time(timestamp: Timestamp, moment: Micros) -> None:
    """Fill a message's own timestamp, where building one to be copied costs too much."""
    timestamp.seconds, rest = divmod(moment, SECOND)
    timestamp.nanos = rest * 1_000


def decode_time(timestamp: Timestamp, path: str) -> Micros:
    """A time from year 1 to 9999, as protobuf has them; a part of a microsecond is dropped."""
    if not _FIRST <= timestamp.seconds <= _LAST or not 0 <= timestamp.nanos < 1_000_000_000:
        raise invalid(path, "range", "must be a time from year 1 to 9999")
    return Micros(timestamp.seconds * SECOND + timestamp.nanos // 1_000)


def encode_micros(span: Micros) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(span)
    return duration


def encode_seconds(seconds: Seconds) -> Duration:
    return encode_micros(micros(seconds))


def decode_seconds(duration: Duration, path: str) -> Seconds:
    """Seconds, not negative."""
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise invalid(path, "range", "must be a duration that is not negative")
    return Seconds(duration.seconds + duration.nanos / 1e9)
