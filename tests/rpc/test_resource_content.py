"""WriteContent and ReadContent: pieces, repeats, checksums, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import aio

from flowstate.v1.types_pb2 import Precondition, ScopeRef
from flowstate_server.errors import Reason
from tests.support.resource_flow import Desk, desk_server
from tests.support.wire import read_refusal, refused

MIB = 1024 * 1024
SESSION = ScopeRef(session_id="s1")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_server() as server:
        await server.session()
        yield server


async def test_content_comes_in_pieces(desk: Desk) -> None:
    content = bytes(range(256)) * 10_000
    digest = hashlib.sha256(content).hexdigest()
    parts = [content[start : start + MIB] for start in range(0, len(content), MIB)]
    position = 0
    for part in parts[:-1]:
        for _ in range(2):
            answer = await desk.write(SESSION, "draft", position, part)
            assert answer.received == position + len(part)
            assert not answer.HasField("resource")
        position += len(part)
    last: dict[str, Any] = {"finish": True, "content_sha256": digest, "media_type": "x/y"}
    answer = await desk.write(SESSION, "draft", position, parts[-1], **last)
    assert (answer.changed, answer.resource.content_sha256, answer.resource.meta.version) == (True, digest, 1)
    assert await desk.content(SESSION, "draft") == content
    assert await desk.content(SESSION, "draft", MIB - 1, if_sha256=digest) == content[MIB - 1 :]
    assert await desk.content(SESSION, "draft", len(content)) == b""
    once_more = await desk.write(SESSION, "draft", position, parts[-1], **last)
    assert (once_more.received, once_more.changed) == (len(content), True)
    assert once_more.resource.meta.version == 1
    assert (await desk.get(SESSION, "draft")).content == b""
    assert (await desk.get(SESSION, "draft")).meta.version == 1


async def test_a_piece_elsewhere_is_not_kept(desk: Desk) -> None:
    assert (await desk.write(SESSION, "draft", 5, b"beyond")).received == 0
    assert (await desk.write(SESSION, "draft", 0, b"hello")).received == 5
    assert (await desk.write(SESSION, "draft", 2, b"xxx")).received == 5
    assert (await desk.write(SESSION, "draft", 7, b"gap", finish=True)).received == 5
    assert await desk.names(SESSION) == []
    other = await desk.write(SESSION, "draft", 0, b"other upload", upload="v", finish=True)
    assert other.resource.meta.version == 1
    done = await desk.write(SESSION, "draft", 5, b"", finish=True)
    assert (done.received, done.resource.meta.version) == (5, 2)
    assert await desk.content(SESSION, "draft") == b"hello"


async def test_equal_bytes_are_no_change(desk: Desk) -> None:
    await desk.put(SESSION, "draft", content=b"same")
    done = await desk.write(SESSION, "draft", 0, b"same", finish=True)
    assert (done.changed, done.resource.meta.version) == (False, 1)
    again = await desk.write(SESSION, "draft", 0, b"same", finish=True)
    assert (again.changed, again.resource.meta.version) == (False, 1)


async def test_an_upload_with_another_checksum_is_gone(desk: Desk) -> None:
    await desk.write(SESSION, "draft", 0, b"some")
    refusal = await refused(desk.write(SESSION, "draft", 4, b"thing", finish=True, content_sha256="0" * 64))
    assert (refusal.reason, refusal.fields) == (Reason.VALIDATION_FAILED, ["content_sha256"])
    assert (await desk.write(SESSION, "draft", 4, b"thing")).received == 0


async def test_a_precondition_is_judged_on_finish_and_the_upload_stays(desk: Desk) -> None:
    await desk.put(SESSION, "draft", {})
    await desk.write(SESSION, "draft", 0, b"some")
    wrong = Precondition(version=5)
    refusal = await refused(desk.write(SESSION, "draft", 4, b"thing", finish=True, precondition=wrong))
    assert refusal.reason is Reason.VERSION_MISMATCH
    done = await desk.write(SESSION, "draft", 4, b"thing", finish=True, precondition=Precondition(version=1))
    assert done.resource.meta.version == 2
    assert await desk.content(SESSION, "draft") == b"something"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"upload": ""}, Reason.VALIDATION_FAILED),
        ({"position": -1}, Reason.VALIDATION_FAILED),
        ({"position": 65 * MIB}, Reason.VALIDATION_FAILED),
        ({"name": "undeclared"}, Reason.RESOURCE_NOT_FOUND),
    ],
)
async def test_pieces_are_refused(desk: Desk, fields: dict[str, Any], reason: Reason) -> None:
    call = {"name": "draft", "position": 0, "data": b"x", **fields}
    assert (await refused(desk.write(SESSION, **call))).reason is reason


async def test_reads_of_content_are_refused(desk: Desk) -> None:
    await desk.put(SESSION, "draft", content=b"abc")
    for terms, reason in (
        ({"position": 4}, Reason.CURSOR_AHEAD),
        ({"if_sha256": "0" * 64}, Reason.VERSION_MISMATCH),
        ({"position": -1}, Reason.VALIDATION_FAILED),
    ):
        with pytest.raises(aio.AioRpcError) as error:
            await desk.content(SESSION, "draft", **terms)
        assert read_refusal(error.value).reason is reason
    with pytest.raises(aio.AioRpcError) as error:
        await desk.content(SESSION, "plan")
    assert read_refusal(error.value).reason is Reason.RESOURCE_NOT_FOUND
