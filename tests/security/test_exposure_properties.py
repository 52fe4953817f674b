"""Whatever a flow declares, stores, derives and does: what it does not expose does not leave on the client plane, by
snapshot, watch, tail, list, error or log line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from google.protobuf.message import Message
from grpc import aio
from hypothesis import Phase, given, settings

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
)
from flowstate_client import ApiError
from tests.support.declarable import examples
from tests.support.exposing_flow import SCOPES, ExposingFlow, Plan, plans
from tests.support.hosted import Hosted, hosted
from tests.support.raw_answers import Metadata, call_all, call_raw

OWNER: Metadata = (("x-flowstate-user", "u1"), ("x-flowstate-org", "o1"))


@settings(examples(40), phases=[Phase.generate])  # a failure tells its plan; to shrink it takes minutes
@given(plans)
def test_nothing_unexposed_leaves_on_the_client_plane(plan: Plan) -> None:
    asyncio.run(_play(ExposingFlow(plan)))


async def _play(exposing: ExposingFlow) -> None:
    with _log_lines() as lines:
        async with hosted(exposing.flow) as server:
            told = await _everything(server, exposing)
    assert _found(exposing.hidden, told + lines) == {}
    shown = set().union(*(exposing.shown.found(text) for text in told))
    names = {place for place in exposing.shown.places if place.endswith(" name")}
    assert names <= shown, "the search finds what is there: the description of the flow names what it exposes"
    assert _stored(exposing) <= shown


def _found(words: Any, texts: list[bytes]) -> dict[str, bytes]:
    return {place: text[:300] for text in texts for place in words.found(text)}


def _stored(exposing: ExposingFlow) -> set[str]:
    """Places whose words clients must have been shown."""
    return {"output"} if exposing.plan.end == "returns" else set()


async def _everything(server: Hosted, exposing: ExposingFlow) -> list[bytes]:
    """All bytes that the owner gets on the client plane while and after the flow has done what it does."""
    async with server.client(org="o1") as client:
        await client.sessions.create("exposing", session_id="s1")
    live = [
        _Live(server, "SessionService/WatchSnapshot", sessions.WatchSnapshotRequest(session_id="s1")),
        _Live(server, "FlowService/StreamAction", flows.StreamActionRequest(spec=_spec("r1"))),
    ]
    await live[1].ended()
    await _write_outside(server, exposing)
    answers = await call_all(server.channel, _calls(exposing), OWNER)
    snapshot = sessions.GetSnapshotRequest(session_id="s1")
    answers.append(await call_raw(server.channel, "SessionService/GetSnapshot", snapshot, OWNER))
    await live[0].shows(answers[-1].replies[0])
    texts = [message for one in live for message in one.messages]
    return texts + [answer.text for answer in answers]


def _spec(request_id: str) -> flows.ActionSpec:
    made = flows.ActionSpec(
        flow_kind="exposing", action="act", session_id="s1", user_id="u1", org_id="o1", request_id=request_id
    )
    made.input.json = "{}"
    return made


async def _write_outside(server: Hosted, exposing: ExposingFlow) -> None:
    async with server.client(plane="trusted") as backend:
        states = {
            "session": backend.state.session("s1"),
            "user": backend.state.user("u1", flow_kind="exposing"),
            "org": backend.state.org("o1", flow_kind="exposing"),
        }
        for step in exposing.plan.outside:
            with suppress(ApiError):
                await exposing.do(states[step[0]], step)


def _calls(exposing: ExposingFlow) -> list[tuple[str, Message]]:
    calls: list[tuple[str, Message]] = [
        ("FlowService/GetFlow", flows.GetFlowRequest(flow_kind="exposing")),
        ("FlowService/CallAction", flows.CallActionRequest(spec=_spec("r2"))),
        ("FlowService/GetActionRequest", flows.GetActionRequestRequest(request_id="r1")),
        ("FlowService/WaitActionRequest", flows.WaitActionRequestRequest(request_id="r1")),
        ("EventService/ListEvents", events.ListEventsRequest(request_id="r1")),
        ("EventService/TailEvents", events.TailEventsRequest(request_id="r1")),
        ("SessionService/GetSession", sessions.GetSessionRequest(session_id="s1")),
        ("SessionService/ListSessions", sessions.ListSessionsRequest()),
        ("SessionService/WatchSnapshot", sessions.WatchSnapshotRequest(session_id="s1")),
        ("SessionService/GetSnapshot", sessions.GetSnapshotRequest(session_id="s1")),
    ]
    for number, scope in enumerate(SCOPES, start=2):
        for names in ([], ["d_nothing"]):
            selector = sessions.SnapshotSelector(scope=number, names=names)  # type: ignore[arg-type]
            get = sessions.GetSnapshotRequest(session_id="s1", selectors=[selector])
            watch = sessions.WatchSnapshotRequest(session_id="s1", selectors=[selector])
            calls += [("SessionService/GetSnapshot", get), ("SessionService/WatchSnapshot", watch)]
        assert exposing.plan.fields[scope]
    return calls


class _Live:
    """A stream that is read all the time, byte by byte as it comes."""

    def __init__(self, server: Hosted, method: str, request: Message) -> None:
        opened = cast(Any, server.channel.unary_stream(f"/flowstate.v1.{method}"))
        self._call: aio.UnaryStreamCall[bytes, bytes] = opened(
            request.SerializeToString(), metadata=OWNER, timeout=30.0
        )
        self.messages: list[bytes] = []
        self._reading = asyncio.ensure_future(self._read())
        self._came = asyncio.Event()

    async def _read(self) -> None:
        with suppress(aio.AioRpcError, asyncio.CancelledError):
            while (message := await self._call.read()) is not aio.EOF:
                self.messages.append(cast(bytes, message))
                self._came.set()

    async def ended(self) -> None:
        await self._reading

    async def shows(self, snapshot: sessions.GetSnapshotResponse) -> None:
        """Read until the watch has told all values of the snapshot, then leave."""
        wanted = {
            (scope.scope, name, value.json)
            for scope in snapshot.scopes
            for name, value in scope.values.items()
        }
        async with asyncio.timeout(20):
            while not wanted <= set(self._told()):
                self._came.clear()
                await self._came.wait()
        self._call.cancel()
        await self._reading

    def _told(self) -> Iterator[tuple[int, str, str]]:
        for message in self.messages:
            frame = sessions.WatchSnapshotResponse.FromString(message)
            for scope in (*frame.snapshot.scopes, frame.change):
                for name, value in scope.values.items():
                    yield scope.scope, name, value.json


@contextmanager
def _log_lines() -> Iterator[list[bytes]]:
    """What the server logs: each message with its attributes, without the tracebacks of authors' exceptions."""
    lines: list[bytes] = []
    plain = set(logging.makeLogRecord({}).__dict__)

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            more = {name: value for name, value in record.__dict__.items() if name not in plain}
            lines.append(f"{record.getMessage()} {more}".encode())

    handler = Lines(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in ("flowstate_server", "flowstate.access")]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield lines
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
