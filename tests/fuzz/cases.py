"""One bad call, drawn from a seed and a number: what is sent, as whom, how, and what may come back of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import text_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from flowstate_server.rpc.methods import PACKAGE
from tests.fuzz import raw_connections
from tests.fuzz.fuzzed_server import Caller, Fuzzed
from tests.fuzz.hostile_metadata import Pairs, hostile_metadata
from tests.fuzz.random_messages import change, fill, hostile_bytes, varint
from tests.fuzz.random_values import Values
from tests.support.contract import METHODS
from tests.support.raw_answers import Answer, call_raw, new_request

_MIB = 1024 * 1024
_WAITS = {"FlowService/CallAction", "FlowService/WaitActionRequest"}
PATIENCE = 20.0
"""Seconds within which a call has to be answered that waits for nothing."""
SHORT = 0.4
_OF_THE_CALLER = ("Invalid metadata", "Internal error from Core")
"""Texts of gRPC where it did not send what it was given: it is no metadata, or the call has ended."""
"""Seconds that are given to a call that may wait for something."""


@dataclass
class Case:
    """A bad call that was not made yet."""

    number: int
    kind: str
    method: str
    caller: str
    metadata: Pairs
    raw: bytes
    timeout: float
    chance: random.Random

    @property
    def mark(self) -> str:
        return mark(self.number)

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.method} as {self.caller}, {self.timeout:g} s, with the metadata {self.metadata!r:.500}"
            f" and {len(self.raw)} bytes, {self.raw[:300]!r}, which are\n{_written(self.method, self.raw):.2000}"
        )


def mark(number: int) -> str:
    """What is in the texts of a case, and in those of no other."""
    return f"zq{number}qz"


def draw(fuzzed: Fuzzed, seed: int, number: int) -> Case:
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choices(tuple(_DRAWN), [weight for weight, _ in _DRAWN.values()])[0]
    name = chance.choices(tuple(fuzzed.callers), [1 + ("trusted" in name) for name in fuzzed.callers])[0]
    caller = fuzzed.callers[name]
    method, request = _request(caller, Values(chance, caller.names, mark(number)))
    raw = request.SerializeToString()
    waits = method in _WAITS or METHODS[method].server_streaming
    case = Case(number, kind, method, name, caller.bearer, raw, SHORT if waits else PATIENCE, chance)
    _DRAWN[kind][1](case, fuzzed)
    return case


def _request(caller: Caller, values: Values) -> tuple[str, Message]:
    """Anything, or a call that somebody could make with some places changed."""
    if values.chance.random() < 0.25:
        method = values.chance.choice(tuple(METHODS))
        request = new_request(method)
        fill(request, values)
        return method, request
    _, method, right = values.chance.choice(caller.calls)
    request = type(right)()
    request.CopyFrom(right)
    for _ in range(values.chance.choice((0, 1, 1, 2, 4))):
        change(request, values)
    return method, request


def _as_drawn(case: Case, fuzzed: Fuzzed) -> None:
    pass


def _bytes(case: Case, fuzzed: Fuzzed) -> None:
    case.raw = hostile_bytes(case.raw, METHODS[case.method].input_type, case.chance)


def _metadata(case: Case, fuzzed: Fuzzed) -> None:
    victim = fuzzed.walk.victim
    victims = [victim.user, victim.org, victim.session, victim.open]
    case.metadata = hostile_metadata(case.metadata, victims, case.chance)


def _hurried(case: Case, fuzzed: Fuzzed) -> None:
    case.timeout = 0.001


def _oversized(case: Case, fuzzed: Fuzzed) -> None:
    size = case.chance.choice((4 * _MIB + 1, 6 * _MIB, 8 * _MIB - 64, 9 * _MIB, 20 * _MIB))
    case.raw += varint(2_047 << 3 | 2) + varint(size) + bytes(size)  # a field that nobody has drawn


_DRAWN: Mapping[str, tuple[int, Callable[[Case, Fuzzed], None]]] = {
    "a message": (60, _as_drawn),
    "bytes": (12, _bytes),
    "metadata": (10, _metadata),
    "a millisecond": (6, _hurried),
    "oversized": (1, _oversized),
    "a dropped stream": (5, _as_drawn),
    "a conversation": (3, _as_drawn),
    "a connection": (4, _as_drawn),
}


async def make(case: Case, fuzzed: Fuzzed, channel: aio.Channel) -> Answer | None:
    """Do it; ``None`` where there is no answer to look at."""
    match case.kind:
        case "a dropped stream":
            return await _drop_stream(case, channel)
        case "a conversation":
            return await _converse(case, channel)
        case "a connection":
            return await _speak(case, fuzzed)
    return _sent(await call_raw(channel, case.method, case.raw, cast(Any, case.metadata), case.timeout))


async def _drop_stream(case: Case, channel: aio.Channel) -> Answer:
    """Read some of it, or nothing, then be gone."""
    opened = cast(Any, channel.unary_stream(f"/{PACKAGE}.{case.method}"))
    call = opened(case.raw, metadata=case.metadata, timeout=PATIENCE)
    answer = Answer(case.method)
    how = case.chance.choice(("cancel", "cancel the reader", "forget", "wait"))
    try:
        for _ in range(case.chance.choice((0, 0, 1, 2, 5))):
            if (message := await asyncio.wait_for(call.read(), SHORT)) is aio.EOF:
                break
            answer.messages.append(message)
        if how == "wait":
            await asyncio.sleep(case.chance.uniform(0, 0.2))
        if how == "cancel the reader":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(call.read(), case.chance.uniform(0, 0.05))
    except TimeoutError:
        pass
    except aio.AioRpcError as error:
        answer.error = error
    if how != "forget":
        call.cancel()
    return answer


async def _converse(case: Case, channel: aio.Channel) -> Answer | None:
    """A call that takes one message gets none, one and no end, or several."""
    opened = cast(Any, channel.stream_stream(f"/{PACKAGE}.{case.method}"))
    call = opened(metadata=case.metadata, timeout=SHORT)
    answer = Answer(case.method)
    try:
        for _ in range(case.chance.choice((0, 1, 1, 2, 3))):
            await call.write(case.raw)
        if case.chance.random() < 0.3:
            await call.done_writing()
        if (message := await asyncio.wait_for(call.read(), SHORT + 1)) is not aio.EOF:
            answer.messages.append(message)
    except (TimeoutError, asyncio.InvalidStateError, aio.BaseError):
        pass  # written to what is over
    except aio.AioRpcError as error:
        answer.error = error
    call.cancel()
    return _sent(answer)


def _sent(answer: Answer) -> Answer | None:
    told = None if answer.error is None else answer.error.details()
    return None if told in _OF_THE_CALLER else answer


async def _speak(case: Case, fuzzed: Fuzzed) -> Answer | None:
    case.kind = case.chance.choice(raw_connections.KINDS)
    bearer = str(case.metadata[0][1])
    path = f"/{PACKAGE}.{case.method}"
    heard = await raw_connections.speak(fuzzed.server.target, case.kind, path, bearer, case.raw, case.chance)
    return Answer(case.method, metadata=[("heard", heard)])


def _written(method: str, raw: bytes) -> str:
    try:
        read = GetMessageClass(METHODS[method].input_type).FromString(raw[:100_000])
    except Exception:
        return "no message"
    return text_format.MessageToString(read, as_one_line=True)
