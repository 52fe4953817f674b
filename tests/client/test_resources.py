"""Resources, as the client writes and reads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import BaseModel

from flowstate.v1 import resource_service_pb2
from flowstate_client import (
    AlreadyExists,
    ContentStream,
    FlowStateClient,
    NotFound,
    OwnedResources,
    ProtocolError,
    ResourceAlreadyExists,
    ResourceExhausted,
    ResourceNotFound,
    TooManyResources,
    VersionMismatch,
)
from flowstate_client.uploads import PIECE_BYTES
from tests.client.fake_tails import refuse
from tests.client.fakes import FakeServer
from tests.client.test_repeats import UNAVAILABLE, failing


class Artifact(BaseModel):
    title: str = "untitled"
    revision: int = 0


@pytest.fixture
def owned(client: FlowStateClient) -> OwnedResources:
    return client.resources.session("s")


async def test_get(server: FakeServer, owned: OwnedResources) -> None:
    server.resources.put("artifact", b"# Plan", state='{"title":"Plan"}')
    found = await owned["artifact"].get()
    assert (found.name, found.exists, found.version, found.incarnation) == ("artifact", True, 1, "inc_1")
    assert (found.state, found.content, found.size) == ({"title": "Plan"}, b"# Plan", 6)
    assert found.sha256 == hashlib.sha256(b"# Plan").hexdigest()
    assert found.media_type == "text/plain"
    assert (await owned["artifact"].get(model=Artifact, view="client")).state == Artifact(title="Plan")
    assert (await owned.named("artifact", model=Artifact).get()).state.title == "Plan"
    assert server.resources.seen[1].view == resource_service_pb2.RESOURCE_VIEW_CLIENT
    assert server.resources.seen[0].scope.session_id == "s"
    with pytest.raises(ResourceNotFound):
        await owned["other"].get()


async def test_content_that_is_too_long_to_come_along_is_none(
    server: FakeServer, owned: OwnedResources
) -> None:
    server.resources.put("large", b"x" * (1024 * 1024 + 1))
    found = await owned["large"].get()
    assert (found.content, found.size) == (None, 1024 * 1024 + 1)


async def test_owners(server: FakeServer, client: FlowStateClient) -> None:
    for owned in (
        client.resources.session("s", flow_kind="chat"),
        client.resources.user("u", flow_kind="chat", isolated=True),
        client.resources.org("o"),
    ):
        server.resources.put("a", b"")
        await owned["a"].get()
    session, user, org = (request.scope for request in server.resources.seen)
    assert (session.session_id, session.flow_kind) == ("s", "chat")
    assert (user.user_id, user.flow_kind, user.isolated) == ("u", "chat", True)
    assert org.org_id == "o"


async def test_list(server: FakeServer, owned: OwnedResources) -> None:
    for number in range(5):
        server.resources.put(f"files/{number}", b"", state=f'{{"revision":{number}}}')
    server.resources.put("other", b"")
    pager = owned.list("files/", page_size=2, model=Artifact)
    assert [record.state.revision async for record in pager] == [0, 1, 2, 3, 4]
    first = await owned.list(page_size=2).first()
    assert first is not None
    assert first.name == "files/0"


async def test_put_sends_what_is_given_and_no_more(server: FakeServer, owned: OwnedResources) -> None:
    it = owned.named("artifact", model=Artifact)
    write = await it.put(state=Artifact(title="Plan"), content="# Plan", media_type="text/markdown")
    assert (write.version, write.changed, write.incarnation) == (1, True, "inc_1")
    await it.if_exists(False).put(content=b"")
    await it.at(7).on_behalf_of("req_1").put(state={"revision": 2}, idempotency_key="mine")
    whole, content, state = server.resources.seen
    assert list(whole.update_mask.paths) == ["state", "content", "media_type"]
    assert (whole.resource.state.json, whole.resource.content) == ('{"title":"Plan","revision":0}', b"# Plan")
    assert list(content.update_mask.paths) == ["content"]
    assert content.precondition.HasField("exists")
    assert not content.precondition.exists
    assert list(state.update_mask.paths) == ["state"]
    assert (state.precondition.version, state.request_id, state.idempotency_key) == (7, "req_1", "mine")
    assert whole.idempotency_key.startswith("idem_")
    with pytest.raises(ValueError, match="/revision"):
        await it.put(state={"revision": float("nan")})


async def test_operations_are_commits_of_state_that_name_the_resource(
    server: FakeServer, owned: OwnedResources, client: FlowStateClient
) -> None:
    it = owned.named("artifact", model=Artifact)
    await it.patch_state(title="Plan")
    async with it.batch(idempotency_key="mine") as batch:
        batch.inc_state(revision=1)
        batch.unset_state("title")
    async with client.state.batch() as several:
        several.session("s").patch_state(mode="agent")
        several.session("s", resource="artifact", model=Artifact).inc_state(revision=1)
    one, two, three = (request for request in server.state.seen if hasattr(request, "mutations"))
    assert [mutation.resource for mutation in (*one.mutations, *two.mutations)] == ["artifact", "artifact"]
    assert [len(mutation.ops) for mutation in (*one.mutations, *two.mutations)] == [1, 2]
    assert two.idempotency_key == "mine"
    assert [mutation.resource for mutation in three.mutations] == ["", "artifact"]


async def test_delete(server: FakeServer, owned: OwnedResources) -> None:
    server.resources.put("artifact", b"")
    seen = await owned["artifact"].get()
    await owned["artifact"].at(seen).delete(allow_missing=True)
    request = server.resources.seen[-1]
    assert (request.precondition.version, request.precondition.incarnation) == (1, "inc_1")
    assert request.allow_missing
    assert server.resources.resources == {}


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1])
@pytest.mark.parametrize("kind", ["bytes", "path", "text path", "iterator"])
async def test_upload(
    server: FakeServer, owned: OwnedResources, tmp_path: Path, size: int, kind: str
) -> None:
    whole = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = tmp_path / "content"
    path.write_bytes(whole)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 300_000):
            yield whole[start : start + 300_000]

    sources: dict[str, Any] = {"bytes": whole, "path": path, "text path": str(path), "iterator": pieces()}
    told: list[tuple[int, int | None]] = []
    write = (
        await owned["file"]
        .at(3)
        .upload(
            sources[kind], media_type="image/png", progress=lambda done, total: told.append((done, total))
        )
    )
    assert write.changed
    assert server.resources.contents["file"] == whole
    sent = server.resources.seen
    assert len({request.upload_id for request in sent}) == 1
    assert max(len(request.data) for request in sent) <= PIECE_BYTES
    assert [request.finish for request in sent] == [False] * (len(sent) - 1) + [True]
    last = sent[-1]
    assert (last.media_type, last.precondition.version) == ("image/png", 3)
    assert last.content_sha256 == hashlib.sha256(whole).hexdigest()
    assert told[-1] == (size, None if kind == "iterator" else size)
    assert len(told) == len(sent)


async def test_pieces_whose_answers_are_lost_are_sent_again(
    server: FakeServer, owned: OwnedResources
) -> None:
    whole = b"".join(bytes([number]) * PIECE_BYTES for number in range(3))
    server.resources.before = failing(1, *UNAVAILABLE)
    server.resources.after = failing(2, *UNAVAILABLE)
    await owned["file"].upload(whole)
    assert server.resources.contents["file"] == whole
    assert len(server.resources.seen) == 6


async def test_a_server_that_lost_an_upload_is_found_out(server: FakeServer, owned: OwnedResources) -> None:
    async def forget(request: Any, context: Any) -> None:
        if request.position:
            server.resources.uploads.clear()

    server.resources.before = forget
    with pytest.raises(ProtocolError, match="bytes were sent, and the server has 0"):
        await owned["file"].upload(b"x" * (PIECE_BYTES + 1))


async def test_a_file_that_is_not_there(owned: OwnedResources, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await owned["file"].upload(tmp_path / "missing")


async def test_content_is_read_through_cuts(server: FakeServer, owned: OwnedResources) -> None:
    whole = bytes(range(64))
    server.resources.put("file", whole)
    server.resources.breaks = [0, 8, 8, 40]
    told: list[tuple[int, int | None]] = []
    async with owned["file"].read_pieces(progress=lambda done, total: told.append((done, total))) as pieces:
        assert b"".join([piece async for piece in pieces]) == whole
    assert pieces.position == 64
    assert pieces.resource is not None
    assert pieces.resource.version == 1
    assert told[-1] == (64, 64)
    positions = [request.position for request in server.resources.seen]
    assert positions == [0, 0, 8, 8, 40]
    assert [bool(request.if_sha256) for request in server.resources.seen] == [False, False, True, True, True]
    assert await owned["file"].read() == whole
    assert b"".join([piece async for piece in owned["file"].read_pieces(start=62)]) == whole[62:]


async def test_there_may_be_no_content(server: FakeServer, owned: OwnedResources) -> None:
    server.resources.put("empty", b"")
    assert await owned["empty"].read() == b""
    assert await owned["empty"].read_text() == ""


async def test_content_that_is_replaced_meanwhile(
    server: FakeServer, owned: OwnedResources, tmp_path: Path
) -> None:
    server.resources.put("file", b"old" * 10)
    server.resources.breaks = [8]

    async def replace(request: Any, context: Any) -> None:
        if request.position == 8:
            server.resources.put("file", b"new" * 5)

    server.resources.before = replace
    with pytest.raises(VersionMismatch):
        await owned["file"].read()
    server.resources.put("file", b"old" * 10)
    server.resources.breaks = [8]
    target = tmp_path / "file"
    target.write_bytes(b"before")
    record = await owned["file"].download(target)
    assert target.read_bytes() == b"new" * 5
    assert record.size == 15
    assert os.listdir(tmp_path) == ["file"]


async def test_a_download_that_fails_leaves_the_file_that_was_there(
    server: FakeServer, owned: OwnedResources, tmp_path: Path
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(ResourceNotFound):
        await owned["missing"].download(target)
    server.resources.put("file", b"x" * 12)
    server.resources.contents["file"] = b"y" * 12
    with pytest.raises(ProtocolError, match="does not have its checksum"):
        await owned["file"].download(target)
    server.resources.put("file", b"x" * 10)
    server.resources.contents["file"] = b"x" * 13
    with pytest.raises(ProtocolError, match="longer than it is said to be"):
        await owned["file"].download(target)
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


async def test_leaving_the_loop_ends_the_call(server: FakeServer, owned: OwnedResources) -> None:
    server.resources.put("file", bytes(64))
    async with owned["file"].read_pieces() as pieces:
        assert isinstance(pieces, ContentStream)
        async for _ in pieces:
            break
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


async def test_swaps(server: FakeServer, owned: OwnedResources) -> None:
    asked: list[Any] = []

    def change(state: Artifact) -> dict[str, Any]:
        asked.append(state)
        return {"revision": state.revision + 1}

    it = owned.named("artifact", model=Artifact)
    await it.atomic_state(change)
    server.resources.put("artifact", b"", state='{"revision":4}')
    await it.atomic_state(change)
    assert asked == [Artifact(), Artifact(revision=4)]
    first, second = (request.mutations[0] for request in server.state.seen if hasattr(request, "mutations"))
    assert first.precondition.HasField("exists")
    assert not first.precondition.exists
    assert (second.precondition.version, second.precondition.incarnation) == (1, "inc_1")


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_ALREADY_EXISTS", (ResourceAlreadyExists, AlreadyExists)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_RESOURCES", (TooManyResources, ResourceExhausted)),
        (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", (ResourceNotFound, NotFound)),
    ],
)
async def test_errors(
    server: FakeServer, owned: OwnedResources, code: Any, reason: str, expected: tuple[Any, Any]
) -> None:
    async def before(request: Any, context: Any) -> None:
        await refuse(context, code, reason)

    server.resources.before = before
    for kind in expected:
        with pytest.raises(kind):
            await owned["a"].put(content="")


async def test_what_is_no_content_is_refused_with_what_is_one(owned: OwnedResources) -> None:
    async def texts() -> AsyncIterator[Any]:
        yield "text"

    forms = "bytes, the path of a file, or an asynchronous iterator of bytes"
    given: Any
    for given in ([b"a"], iter([b"a"]), None, 1):
        with pytest.raises(TypeError, match=f"{forms}, not {type(given).__name__}"):
            await owned["a"].upload(given)
    with pytest.raises(TypeError, match="a piece of a content must be bytes, not str"):
        await owned["a"].upload(texts())
    with pytest.raises(
        FileNotFoundError, match=f"a text is taken for the path of a file: a content is {forms}"
    ):
        await owned["a"].upload("some text")
    with pytest.raises(OSError, match=forms):
        await owned["a"].upload("some text " * 1000)
    with pytest.raises(FileNotFoundError) as caught:
        await owned["a"].upload(Path("nowhere.png"))
    assert "text" not in str(caught.value)


async def test_who_watches_an_upload_is_told_how_much_it_will_be_where_that_is_known(
    server: FakeServer, owned: OwnedResources
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    told: list[tuple[int, int | None]] = []
    await owned["a"].upload(b"abc", progress=lambda done, total: told.append((done, total)))
    await owned["a"].upload(pieces(), progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 3), (3, None)]
