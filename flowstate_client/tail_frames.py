"""What the frames of a tail mean, whatever number of calls they came in."""

from __future__ import annotations

from flowstate.v1 import event_service_pb2, types_pb2
from flowstate_client.errors import ProtocolError
from flowstate_client.events import Event, Trimmed, event_from_proto
from flowstate_client.models import Cursor, seconds
from flowstate_client.resuming import DEFAULT_HEARTBEAT, SILENT_HEARTBEATS

Frame = event_service_pb2.TailEventsResponse


class FrameReader:
    """Turns frames into events and checks that each begins where the one before ended.

    Attributes:
        position: Cursor of the last frame: where to resume.
        received: Whether any frame came at all.
        ended: Whether the tail said that it is over.
        deleted: Whether it is over since its session was deleted.
        silence: Seconds without a frame after which the call counts as dead.
    """

    def __init__(self, after: Cursor, *, of_session: bool = False) -> None:
        self.position = after
        self._of_session = of_session
        self.received = False
        self.ended = False
        self.deleted = False
        self.silence = DEFAULT_HEARTBEAT * SILENT_HEARTBEATS
        self._last_sequence = after.sequence
        self._trimmed_to = 0

    def take(self, frame: Frame) -> list[Event]:
        """The events of the next frame, often none.

        Raises:
            ProtocolError: the frame leaves a hole, repeats something, goes back or belongs to another log.
        """
        cursor = Cursor.from_proto(frame.cursor)
        if self.position.log_id and cursor.log_id != self.position.log_id:
            raise ProtocolError(
                f"the tail of log {self.position.log_id} delivered a frame of log {cursor.log_id}"
            )
        if cursor.sequence < self.position.sequence:
            raise ProtocolError(f"the tail went back from {self.position.sequence} to {cursor.sequence}")
        events: list[Event] = []
        match frame.WhichOneof("frame"):
            case "started":
                self._take_started(frame.started, cursor)
            case "batch":
                events = self._take_batch(frame.batch, cursor)
            case "trimmed":
                events = self._take_trimmed(frame.trimmed, cursor)
            case "ended":
                self.ended = True
                self.deleted = frame.ended.reason == types_pb2.END_REASON_DELETED
            case _:  # heartbeat, caught_up, or a frame of a newer server: the cursor is all there is to it
                pass
        self.received = True
        self.position = cursor
        return events

    def _take_started(self, started: event_service_pb2.TailStarted, cursor: Cursor) -> None:
        from_start = not (self.position.log_id or self.position.sequence)  # of what retention has kept
        if cursor.sequence != self.position.sequence and not from_start:
            raise ProtocolError(f"the tail began at {cursor.sequence} instead of {self.position.sequence}")
        self.silence = (seconds(started.heartbeat_interval) or DEFAULT_HEARTBEAT) * SILENT_HEARTBEATS

    def _take_batch(self, batch: event_service_pb2.EventBatch, cursor: Cursor) -> list[Event]:
        if batch.after_sequence != self.position.sequence:
            raise ProtocolError(
                f"the tail stood at {self.position.sequence} and goes on behind {batch.after_sequence}"
            )
        events: list[Event] = []
        for event in batch.events:
            place = event.session_sequence if self._of_session else event.sequence
            if not self._last_sequence < place <= cursor.sequence:
                raise ProtocolError(f"event {place} came after {self._last_sequence}")
            self._last_sequence = place
            events.append(event_from_proto(event, cursor.log_id, of_session=self._of_session))
        return events

    def _take_trimmed(self, trimmed: event_service_pb2.TailTrimmed, cursor: Cursor) -> list[Event]:
        if trimmed.last <= self._trimmed_to:  # said before the tail broke
            return []
        self._trimmed_to = trimmed.last
        return [Trimmed(type="trimmed", first=trimmed.first, last=trimmed.last, cursor=cursor)]
