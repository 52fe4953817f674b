"""Every way in which a method can end: each gives the right status and exactly one line in the access log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc import aio

from flowstate.v1.event_service_pb2 import TailEventsResponse
from flowstate.v1.flow_service_pb2 import Flow, GetFlowResponse
from flowstate.v1.types_pb2 import Cursor
from flowstate_server.errors import Reason, SessionNotFoundError
from flowstate_server.rpc import access_log
from flowstate_server.rpc.call_context import current_call
from flowstate_server.settings import ServerSettings
from tests.support.access_records import AccessRecords
from tests.support.enveloped import SHAPES, Enveloped, enveloped, method
from tests.support.wire import CANARY, Refusal, read_all, read_refusal, refused


async def _succeed() -> None:
    return None


async def _refuse() -> None:
    raise SessionNotFoundError("s1")


async def _fail() -> None:
    raise ValueError(f"select {CANARY} from /etc/passwd")


async def _fail_oddly() -> None:
    raise BaseExceptionGroup("odd", [KeyError(CANARY)])


async def _cancel_inside() -> None:
    raise asyncio.CancelledError(CANARY)


async def _cancel_a_task() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def _exit_a_generator() -> None:
    raise GeneratorExit(CANARY)


async def _time_out_inside() -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


ENDINGS: dict[str, tuple[Callable[[], Awaitable[None]], grpc.StatusCode, Reason | None]] = {
    "ok": (_succeed, grpc.StatusCode.OK, None),
    "domain error": (_refuse, grpc.StatusCode.NOT_FOUND, Reason.SESSION_NOT_FOUND),
    "exception": (_fail, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    "exception group": (_fail_oddly, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    "internal CancelledError": (_cancel_inside, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    "cancelled task": (_cancel_a_task, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    "GeneratorExit": (_exit_a_generator, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    "internal TimeoutError": (_time_out_inside, grpc.StatusCode.INTERNAL, Reason.INTERNAL),
}


def _call(server: Enveloped, shape: str, raw: bytes = b"", **options: Any) -> Any:
    return server.unary(raw, **options) if shape == "unary" else server.stream(raw, **options)


async def _outcome(call: Any, shape: str) -> Refusal | None:
    try:
        await (call if shape == "unary" else read_all(call))
    except aio.AioRpcError as error:
        return read_refusal(error)
    return None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_ending_has_its_status_and_one_record(
    shape: str, ending: str, access: AccessRecords, caplog: pytest.LogCaptureFixture
) -> None:
    act, code, reason = ENDINGS[ending]
    async with enveloped(**method(shape, act)) as server:
        refusal = await _outcome(_call(server, shape), shape)
        (record,) = await access.count(1)
    assert (refusal.code if refusal else grpc.StatusCode.OK) is code
    assert (refusal.reason if refusal else None) is reason
    fields = vars(record)
    assert fields["code"] == code.name
    assert fields.get("reason") == (reason.value if reason else None)
    assert "" not in fields.values()
    if reason is Reason.INTERNAL:
        assert refusal is not None
        error_id = refusal.metadata["error_id"]
        (traceback,) = [one for one in caplog.records if one.name == "flowstate.errors"]
        assert error_id in traceback.getMessage()
        assert traceback.exc_info
        assert fields["error_id"] == error_id
    else:
        assert "error_id" not in fields


async def test_what_waits_by_design_is_not_told_as_slow(
    access: AccessRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "SLOW_MS", 0.0)

    levels = {}
    for shape in SHAPES:
        async with enveloped(**method(shape, _succeed)) as server:
            await _outcome(_call(server, shape), shape)
            (record,) = await access.count(1)
        levels[shape] = record.levelname
        access.records.clear()
    assert levels == {"unary": "INFO", "generator": "DEBUG", "writer": "DEBUG"}


@pytest.mark.parametrize("shape", SHAPES)
async def test_bytes_that_are_no_message(shape: str, access: AccessRecords) -> None:
    async with enveloped(**method(shape, _fail)) as server:
        refusal = await _outcome(_call(server, shape, b"\xff\xff\xff"), shape)
        await access.count(1)
    assert refusal is not None
    assert refusal.reason is Reason.MALFORMED_MESSAGE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("leaving", ["cancel", "deadline"])
async def test_the_peer_leaves(shape: str, leaving: str, access: AccessRecords) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with enveloped(**method(shape, wait)) as server:
        call = _call(server, shape, timeout=0.2 if leaving == "deadline" else None)
        reading = asyncio.ensure_future(_read(call, shape))
        await began.wait()
        if leaving == "cancel":
            call.cancel()
        await ended.wait()
        (record,) = await access.count(1)
        await asyncio.gather(reading, return_exceptions=True)
    # At the deadline both sides give up; on a busy machine the server may hear of the client's first.
    expected = {"CANCELLED"} if leaving == "cancel" else {"DEADLINE_EXCEEDED", "CANCELLED"}
    assert vars(record)["code"] in expected


async def _read(call: Any, shape: str) -> None:
    await (call if shape == "unary" else read_all(call))


async def test_a_unary_call_without_a_deadline_gets_one(access: AccessRecords) -> None:
    async with enveloped(
        **method("unary", asyncio.Event().wait),
        settings=ServerSettings(unary_deadline=0.05),
    ) as server:
        refusal = await refused(server.unary())
        await access.count(1)
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refusal.reason is Reason.DEADLINE_BUDGET_EXHAUSTED


async def test_a_servicer_may_answer_by_itself(access: AccessRecords) -> None:
    async def check(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")

    async with enveloped(unary=check) as server:
        with pytest.raises(aio.AioRpcError, match="no such service"):
            await server.unary()
        (record,) = await access.count(1)
    assert vars(record)["code"] == "NOT_FOUND"


LARGE = TailEventsResponse(cursor=Cursor(log_id="x" * 1_000_000))


async def _pour(request: Any, context: Any) -> AsyncIterator[TailEventsResponse]:
    call = current_call()
    while True:
        yield LARGE
        call.sequence += 1


async def test_a_reader_that_stalls_is_cut_off_and_told_where(access: AccessRecords) -> None:
    async with enveloped(stream=_pour, settings=ServerSettings(write_timeout=0.2)) as server:
        call = server.stream()
        await call.read()
        (record,) = await access.count(1)
        frames, error = 1, None
        while error is None:
            try:
                await call.read()
                frames += 1
            except aio.AioRpcError as raised:
                error = raised
    refusal = read_refusal(error)
    assert vars(record)["reason"] == "SLOW_CONSUMER"
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.metadata["sequence"] == str(
        frames - 1
    )  # the last frame was cut off before it was written whole


async def test_a_reader_that_stalls_and_leaves(access: AccessRecords) -> None:
    async with enveloped(stream=_pour, settings=ServerSettings(write_timeout=0.2)) as server:
        call = server.stream()
        await call.read()
        await access.count(1)
        call.cancel()
    (record,) = access.records
    assert vars(record)["reason"] == "SLOW_CONSUMER"


async def test_a_reader_that_leaves_in_the_middle_of_a_write(access: AccessRecords) -> None:
    closed = asyncio.Event()

    async def pour(request: Any, context: Any) -> AsyncIterator[TailEventsResponse]:
        try:
            while True:
                yield LARGE
        finally:
            closed.set()

    async with enveloped(stream=pour) as server:
        call = server.stream()
        await call.read()
        call.cancel()
        await closed.wait()
        (record,) = await access.count(1)
    assert vars(record)["code"] == "CANCELLED"


async def test_a_reply_that_is_too_large() -> None:
    async def answer(request: Any, context: Any) -> GetFlowResponse:
        return GetFlowResponse(flow=Flow(flow_kind="x" * 2_000))

    async with enveloped(unary=answer, settings=ServerSettings(max_message_bytes=1_000)) as server:
        refusal = await refused(server.unary())
    assert refusal.reason is Reason.MESSAGE_TOO_LARGE
    assert refusal.metadata["limit"] == "1000"


async def test_a_foreign_servicer_that_fails_after_its_answer_has_answered() -> None:
    """As one that is drained while it still sends its status; grpc logs nothing, which the fixture looks after."""

    async def answer(request: Any, context: Any) -> GetFlowResponse:
        with contextlib.suppress(aio.AbortError):
            await context.abort(grpc.StatusCode.NOT_FOUND, "not here")
        raise SessionNotFoundError("s1")

    async with enveloped(unary=answer) as server:
        with pytest.raises(aio.AioRpcError) as raised:
            await server.unary()
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert raised.value.details() == "not here"
