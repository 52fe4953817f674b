"""What is serialized by hand is what protobuf would write."""

from __future__ import annotations

import pytest

from flowstate.v1 import event_service_pb2, events_pb2, flow_service_pb2
from flowstate_server.engine.calls.logs import LogCursor, TailBatch, TailHeartbeat
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.scopes import SessionKey
from flowstate_server.rpc.codec.events import encode_event
from flowstate_server.rpc.codec.tails import serialize_frame, serialize_streamed
from flowstate_server.rpc.codec.wire_format import delimited, tag, varint

LARGEST = 2**63 - 1


@pytest.mark.parametrize("number", [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 2**21, 2**32, LARGEST])
def test_integers(number: int) -> None:
    written = tag(events_pb2.Event.DESCRIPTOR, "sequence") + varint(number)
    assert events_pb2.Event.FromString(written).sequence == number


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
def test_texts(size: int) -> None:
    written = delimited(tag(events_pb2.ItemDelta.DESCRIPTOR, "text"), b"x" * size)
    assert events_pb2.ItemDelta.FromString(written).text == "x" * size


@pytest.mark.parametrize("sequence", [1, 200, 70_000, LARGEST])
def test_a_batch_is_what_its_events_are(sequence: int) -> None:
    records = [
        _record(EventType.ITEM_DELTA, {"item_id": "i", "index": 300, "text": "é\0" * 100}, sequence),
        _record(EventType.CUSTOM, {"name": "é", "data": {"a": [1.0]}}, 0),
        _record(EventType.STATUS, {"text": "so far"}, sequence),
    ]
    frame = TailBatch(LogCursor("log", sequence), records, after=sequence - 1)
    wire = event_service_pb2.TailEventsResponse.FromString(serialize_frame(frame))
    assert list(wire.batch.events) == [encode_event(record) for record in records]
    assert [event.sequence for event in wire.batch.events] == [sequence, 0, sequence]
    assert [event.event_id for event in wire.batch.events] == [f"log-{n}" for n in (sequence, 0, sequence)]
    assert wire.batch.after_sequence == sequence - 1
    assert (wire.cursor.log_id, wire.cursor.sequence) == ("log", sequence)
    streamed = flow_service_pb2.StreamActionResponse.FromString(serialize_streamed(frame))
    assert streamed.tail == wire


def test_a_frame_without_events_is_streamed_as_well() -> None:
    frame = TailHeartbeat(LogCursor("log", 4), 7)
    streamed = flow_service_pb2.StreamActionResponse.FromString(serialize_streamed(frame))
    assert streamed.tail == event_service_pb2.TailEventsResponse.FromString(serialize_frame(frame))
    assert streamed.tail.heartbeat.latest_sequence == 7


def _record(type: EventType, payload: dict[str, object], sequence: int) -> EventRecord:
    return EventRecord(
        Event(type, encode_json(payload), frozenset([Audience.CLIENT]), block_path=("a",)),
        SessionKey(Tenant("acme"), "s"),
        "log",
        sequence,
        "r" if sequence else "",
        sequence,
        Micros(1_795_981_112_844_455),
    )
