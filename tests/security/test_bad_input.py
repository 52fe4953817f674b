"""Whatever is sent, the answer is a proper refusal that tells nothing, and nothing is stored."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from flowstate.v1 import (
    flow_service_pb2 as flows,
)
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import Reason
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.sqlite.store import SqliteStore
from tests.security.right_requests import RIGHT, action_spec, chat_flow
from tests.support.bad_messages import bad_messages
from tests.support.contract import METHODS, UNSERVED_METHODS
from tests.support.hosted import Hosted, hosted
from tests.support.raw_answers import Answer, Metadata, call_raw, new_request
from tests.support.wire import TRUSTED

FOLLOWERS = ("EventService/TailEvents", "SessionService/WatchSnapshot")
OF_FOLLOWERS = 64 * 1024
"""The largest request of these, in bytes."""
CALLER: Metadata = (("x-tenant-id", "a"), *TRUSTED)

_INTERNALS = re.compile(
    r"""Traceback|\bsqlite|SELECT\b|INSERT\b|UPDATE\b|DELETE\sFROM|\.py\b|/root|/work|/tmp|site-packages|
        flowstate_server|pydantic|asyncio|orjson|NoneType|<class|object\sat\s0x|KeyError|ValueError|TypeError|
        AttributeError|IndexError|Exception\b|StrEnum|dataclass""",
    re.VERBOSE | re.IGNORECASE,
)
NEVER = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class Ledger:
    """Tells whether anything was committed to the file. The server's own housekeeping must be off."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def commits(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


@contextmanager
def _ledger(path: Path) -> Iterator[Ledger]:
    connection = sqlite3.connect(path)
    try:
        yield Ledger(connection)
    finally:
        connection.close()


@asynccontextmanager
async def _server(tmp_path: Path) -> AsyncIterator[tuple[Hosted, Ledger]]:
    path = tmp_path / "chat.db"
    settings = EngineSettings(lease=Seconds(100_000.0))
    async with hosted(chat_flow(), store=SqliteStore(path), settings=settings) as server:
        call = flows.CallActionRequest(spec=action_spec(request_id="r1"))
        first = await call_raw(server.channel, "FlowService/CallAction", call, CALLER)
        assert first.replies[0].done
        with _ledger(path) as ledger:
            yield server, ledger


async def _settle(server: Hosted) -> None:
    for run in list(server.engine.supervisor._runs.values()):
        await run.ended.wait()


def _check(answer: Answer, what: str) -> None:
    assert answer.code not in NEVER, f"{what}: {answer.error}"
    if answer.error is None:
        return
    refusal = answer.refusal  # checks what holds for all of them
    assert refusal.reason is not Reason.INTERNAL, what
    told = refusal.message + " ".join(refusal.metadata.values())
    if refusal.code is grpc.StatusCode.INVALID_ARGUMENT:
        told += str(refusal.status)
    sent = ("../../etc/passwd", "DROP TABLE")
    if not any(text in told for text in sent):  # an id is repeated where it was not found
        assert not _INTERNALS.search(told), f"{what}: {told}"


async def _send(server: Hosted, ledger: Ledger, method: str, request: Message | bytes, what: str) -> Answer:
    before = ledger.commits
    answer = await call_raw(server.channel, method, request, CALLER)
    _check(answer, what)
    if answer.error is None:
        await _settle(server)
    elif method != "ResourceService/WriteContent":  # a piece is kept, whatever becomes of the upload
        assert ledger.commits == before, f"{what}: refused, but something was stored"
    return answer


def test_there_is_a_request_of_every_served_method() -> None:
    assert set(RIGHT) == set(METHODS) - UNSERVED_METHODS


@pytest.mark.parametrize("method", RIGHT)
async def test_one_thing_wrong(method: str, tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, ledger):
        refused = 0
        for place, request in bad_messages(RIGHT[method]):
            answer = await _send(server, ledger, method, request, f"{method} with another {place}")
            refused += answer.error is not None
        last = await call_raw(server.channel, "FlowService/GetFlow", RIGHT["FlowService/GetFlow"], CALLER)
        assert last.code is grpc.StatusCode.OK, "the server is as well as before"
    assert refused or method == "ServerService/GetServerInfo"


async def test_bytes_that_are_no_message(tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, ledger):
        for method in METHODS:
            right = (RIGHT.get(method) or new_request(method)).SerializeToString()
            for raw in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", right + b"\x0a\x7f"):
                answer = await _send(server, ledger, method, raw, f"{method} with {raw[:20]!r}")
                assert answer.refusal.reason in (Reason.MALFORMED_MESSAGE, Reason.FEATURE_DISABLED)
            for raw in _mangled(right or b"\x0a\x01x", random.Random(method)):
                await _send(server, ledger, method, raw, f"{method} with {raw!r}")


def _mangled(right: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(40):
        raw = bytearray(right)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        yield bytes(raw[: chance.randint(0, len(raw))])


async def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, ledger):
        for method in ("FlowService/GetFlow", "SessionService/GetSession", "EventService/ListEvents"):
            answer = await _send(server, ledger, method, b"\x0a\x02\xff\xfe", method)
            assert answer.refusal.reason is Reason.MALFORMED_MESSAGE


async def test_metadata_that_is_not_right() -> None:
    wrong: tuple[Metadata, ...] = (
        (("x-tenant-id", ""),),
        (("x-tenant-id", "a b"),),
        (("x-tenant-id", "-a"),),
        (("x-tenant-id", "a" * 129),),
        (("x-tenant-id", "a/../b"),),
        (("x-tenant-id", "a"), ("x-tenant-id", "a")),
        (("x-tenant-id", "a"), ("x-tenant-id", "b")),
        (("x-flowstate-user", ""),),
        (("x-flowstate-user", "u" * 129),),
        (("x-flowstate-user", "u1"), ("x-flowstate-user", "u2")),
        (("x-flowstate-org", ""),),
        (("x-flowstate-plane", ""),),
        (("x-flowstate-plane", "Trusted"),),
        (("x-flowstate-plane", "client"), ("x-flowstate-plane", "trusted")),
    )
    async with hosted(chat_flow()) as server:
        for method, metadata in product(METHODS, wrong):
            answer = await call_raw(server.channel, method, RIGHT.get(method) or b"", metadata)
            _check(answer, f"{method} with {metadata}")
            assert answer.refusal.reason is Reason.METADATA_INVALID, metadata
            assert answer.refusal.metadata["key"] == metadata[0][0]


async def test_messages_that_are_too_large(tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, ledger):
        before = ledger.commits
        for size in (1024 * 1024 + 1, 3 * 1024 * 1024):
            spec = action_spec()
            spec.input.json = '"' + "x" * size + '"'
            request = flows.CallActionRequest(spec=spec)
            answer = await _send(server, ledger, "FlowService/CallAction", request, f"{size} bytes")
            assert answer.refusal.reason is Reason.MESSAGE_TOO_LARGE
        beyond = await call_raw(
            server.channel, "FlowService/CallAction", b"\x0a" + b"x" * 9 * 1024 * 1024, CALLER
        )
        assert beyond.code is grpc.StatusCode.RESOURCE_EXHAUSTED, "this one is refused by gRPC itself"
        assert ledger.commits == before


async def test_a12_a_message_beyond_the_limit_is_refused_with_its_reason(tmp_path: Path) -> None:
    limit = 4 * 1024 * 1024
    sizes = {method: [limit + 1] for method in METHODS if method not in UNSERVED_METHODS}
    sizes["FlowService/CallAction"] = [limit + 1, limit + 1024, 6_000_000, 2 * limit]
    async with _server(tmp_path) as (server, ledger):
        before = ledger.commits
        for method, size in ((method, size) for method, each in sizes.items() for size in each):
            refusal = (await call_raw(server.channel, method, bytes(size), CALLER)).refusal
            assert refusal.reason is Reason.MESSAGE_TOO_LARGE, method
            least = OF_FOLLOWERS if method in FOLLOWERS else limit
            assert (refusal.metadata["size"], refusal.metadata["limit"]) == (str(size), str(least))
        assert ledger.commits == before


@pytest.mark.parametrize("method", FOLLOWERS)
async def test_what_follows_for_long_is_asked_in_few_words(method: str, tmp_path: Path) -> None:
    """The server has the request for as long as the stream is open, unknown fields and all."""
    right = RIGHT[method].SerializeToString()
    head = b"\xfa\x7f\x80\x80\x04"  # field 2047, which nobody has drawn, of 65,536 bytes
    async with _server(tmp_path) as (server, _):
        refusal = (await call_raw(server.channel, method, right + head + bytes(65_536), CALLER)).refusal
        assert (refusal.reason, refusal.metadata["limit"]) == (Reason.MESSAGE_TOO_LARGE, str(OF_FOLLOWERS))
        head = b"\xfa\x7f\x80\xf0\x03"
        most = await call_raw(server.channel, method, right + head + bytes(63_488), CALLER)
        assert most.replies


@pytest.mark.parametrize("probe", ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"])
async def test_probes_which_nobody_counts_are_short(probe: str, tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, _):
        refusal = (await call_raw(server.channel, probe, bytes(OF_FOLLOWERS + 1))).refusal
        assert (refusal.reason, refusal.metadata["limit"]) == (Reason.MESSAGE_TOO_LARGE, str(OF_FOLLOWERS))


async def test_methods_that_do_not_exist(tmp_path: Path) -> None:
    async with _server(tmp_path) as (server, _):
        for method in ("flowstate.v1.FlowService/Nope", "flowstate.v1.Nope/Nope", "other/Nope", "x"):
            answer = await call_raw(server.channel, method, b"", CALLER)
            assert answer.refusal.reason is Reason.FEATURE_DISABLED
            _check(answer, method)
