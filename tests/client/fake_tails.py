"""The log of a request and its tails, as the contract says or worse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from flowstate.v1 import event_service_pb2, event_service_pb2_grpc, events_pb2, types_pb2

Context = grpc.aio.ServicerContext[Any, Any]
Tail = event_service_pb2.TailEventsResponse


async def refuse(
    context: Context,
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "refused",
    *,
    domain: str = "flowstate.dev",
    retry_after: float | None = None,
    fields: dict[str, str] | None = None,
    broken: str = "",
    **facts: str,
) -> None:
    """Ends a call like the server does, with rich details if there is a reason."""
    status = status_pb2.Status(code=code.value[0], message=message)
    if reason:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts))
    if fields:
        bad = error_details_pb2.BadRequest()
        for field, description in fields.items():
            bad.field_violations.add(field=field, reason=broken, description=description)
        status.details.add().Pack(bad)
    if retry_after is not None:
        delay = Duration(nanos=int(retry_after * 1e9) % 10**9, seconds=int(retry_after))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    trailers = (("grpc-status-details-bin", status.SerializeToString()),) if status.details else ()
    await context.abort(code, message, trailers)


def json_value(value: Any) -> types_pb2.Value:
    return types_pb2.Value(json=json.dumps(value))


class FakeLog:
    """The log of one request."""

    def __init__(self, request_id: str = "req_1", log_id: str = "log-1") -> None:
        self.request_id = request_id
        self.log_id = log_id
        self.events: list[events_pb2.Event] = []
        self.ended = False
        self.grown = asyncio.Condition()

    async def append(self, *texts: str) -> None:
        for text in texts:
            self._add(type="item.delta", item_delta=events_pb2.ItemDelta(item_id="item_1", text=text))
        await self._tell()

    async def finish(self, output: Any = "done") -> None:
        self._add(
            type="request.completed",
            request_completed=events_pb2.RequestCompleted(output=json_value(output)),
        )
        self.ended = True
        await self._tell()

    async def wait_beyond(self, position: int) -> None:
        async with self.grown:
            await self.grown.wait_for(lambda: len(self.events) > position)

    def cursor(self, sequence: int) -> types_pb2.Cursor:
        return types_pb2.Cursor(log_id=self.log_id, sequence=sequence)

    def _add(self, **fields: Any) -> None:
        event = events_pb2.Event(sequence=len(self.events) + 1, request_id=self.request_id, **fields)
        event.session_id = "sess_1"
        self.events.append(event)

    async def _tell(self) -> None:
        async with self.grown:
            self.grown.notify_all()


class FakeEvents(event_service_pb2_grpc.EventServiceServicer):
    """Tails of a log, as the contract says; ``serve`` can be replaced by something worse."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.requests: list[event_service_pb2.TailEventsRequest] = []
        self.batch_size = 2
        self.heartbeat = 15.0
        self.serve: Callable[[Any, Context], AsyncIterator[Tail]] = self.follow
        self.live = 0
        self.changed = asyncio.Condition()
        self.dropped = 0
        """How many calls were broken off rather than served to the end."""

    async def ListEvents(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def TailEvents(self, request: Any, context: Any) -> AsyncIterator[Tail]:
        self.requests.append(request)
        async for frame in self.watched(self.serve(request, context)):
            yield frame

    async def watched(self, frames: AsyncIterator[Any]) -> AsyncIterator[Any]:
        await self._count(1)
        try:
            async for frame in frames:
                yield frame
        except (asyncio.CancelledError, GeneratorExit):
            self.dropped += 1
            raise
        finally:
            self.live -= 1
            asyncio.get_running_loop().create_task(self._count(0))

    async def wait_live(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.live == count)

    async def wait_calls(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.requests) >= count)

    async def _count(self, more: int) -> None:
        async with self.changed:
            self.live += more
            self.changed.notify_all()

    async def follow(self, request: Any, context: Context) -> AsyncIterator[Tail]:
        position = request.after.sequence
        yield self.started(position)
        while True:
            fresh = self.log.events[position : position + self.batch_size]
            if fresh:
                yield self.batch(position, fresh)
                position = fresh[-1].sequence
            elif self.log.ended or request.replay_only:
                yield self.ended(position)
                return
            else:
                await self.log.wait_beyond(position)

    def started(self, position: int) -> Tail:
        interval = Duration()
        interval.FromNanoseconds(int(self.heartbeat * 1e9))
        frame = event_service_pb2.TailStarted(
            heartbeat_interval=interval, latest_sequence=len(self.log.events)
        )
        return Tail(cursor=self.log.cursor(position), started=frame)

    def batch(self, after: int, events: list[events_pb2.Event], *, upto: int | None = None) -> Tail:
        end = events[-1].sequence if upto is None else upto
        return Tail(
            cursor=self.log.cursor(end),
            batch=event_service_pb2.EventBatch(events=events, after_sequence=after),
        )

    def heartbeat_frame(self, position: int) -> Tail:
        return Tail(cursor=self.log.cursor(position), heartbeat=event_service_pb2.TailHeartbeat())

    def trimmed(self, position: int, first: int, last: int) -> Tail:
        frame = event_service_pb2.TailTrimmed(first=first, last=last)
        return Tail(cursor=self.log.cursor(position), trimmed=frame)

    def ended(self, position: int) -> Tail:
        return Tail(
            cursor=self.log.cursor(position), ended=event_service_pb2.TailEnded(final_sequence=position)
        )
