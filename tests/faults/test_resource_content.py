"""Content that is large, through cuts and kills: nothing is lost, mixed up, or left."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from flowstate.v1 import resource_service_pb2 as pb, session_service_pb2 as sessions
from flowstate.v1.resource_service_pb2_grpc import ResourceServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.types_pb2 import Precondition, ScopeRef, Value
from flowstate_server.errors import Reason, StoreUnavailableError
from flowstate_server.model.clock import Seconds
from flowstate_server.model.documents import STORE_OWNER, DocumentRange
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.resources import ORPHANED, RESOURCE, orphaned_owner, owner_of, resource_in
from flowstate_server.stores.contract.writes import Batch, CommitResult
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.transfer import check_store
from flowstate_server.testing.server_process import ServerProcess, server_process
from flowstate_server.testing.waiting import until
from tests.scenarios.test_resources import QUICK, pieces
from tests.support.ports import lasting_port
from tests.support.resource_flow import KIND, Desk, desk_server
from tests.support.store_urls import DURABLE, SHARED, new_stores
from tests.support.wire import TRUSTED, read_refusal

APP = "tests.support.resource_app:app"
MIB = 1024 * 1024
SESSION = ScopeRef(session_id="s1")
CUTS = 10
MOST_GROWN = 32 * MIB


@asynccontextmanager
async def serving(kind: str, folder: Path) -> AsyncIterator[tuple[ServerProcess, aio.Channel]]:
    async with new_stores(folder) as new_store:
        where = {"store": await new_store(kind), "listen": f"127.0.0.1:{lasting_port()}"}
        async with server_process(APP, **where, lease=2.0, log_level="warning") as server:
            async with aio.insecure_channel(server.target) as channel:
                made = sessions.Session(flow_kind=KIND, user_id="ada", session_id="s1")
                await SessionServiceStub(channel).CreateSession(
                    sessions.CreateSessionRequest(session=made), metadata=TRUSTED
                )
                yield server, channel


def resident(server: ServerProcess) -> int:
    """Bytes of the server's process that are in memory."""
    with open(f"/proc/{server.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


class Sender:
    """Sends content in pieces, some of which it cuts off, and asks where to go on."""

    def __init__(self, channel: aio.Channel, content: bytes, cuts: set[int]) -> None:
        self._write = ResourceServiceStub(channel).WriteContent
        self._content = content
        self._cuts = cuts
        self.received = 0

    async def send_to(self, end: int) -> pb.WriteContentResponse:
        while True:
            part = self._content[self.received : min(self.received + MIB, end)]
            last = self.received + len(part) == len(self._content)
            cut = self.received // MIB in self._cuts
            self._cuts.discard(self.received // MIB)
            try:
                answer = await self._piece(part, last, timeout=0.004 if cut else 20.0)
            except aio.AioRpcError:
                answer = await self._piece(b"", False, timeout=20.0, wait=True)
            self.received = answer.received
            if answer.HasField("resource") or self.received >= end < len(self._content):
                return answer

    async def _piece(
        self, data: bytes, last: bool, *, timeout: float, wait: bool = False
    ) -> pb.WriteContentResponse:
        request = pb.WriteContentRequest(
            scope=SESSION,
            name="draft",
            upload_id="large",
            position=self.received,
            data=data,
            finish=last,
            content_sha256=hashlib.sha256(self._content).hexdigest() if last else "",
        )
        return await self._write(request, metadata=TRUSTED, timeout=timeout, wait_for_ready=wait)


@pytest.mark.parametrize("kind", DURABLE)
async def test_content_goes_through_cuts_and_a_kill(kind: str, tmp_path: Path) -> None:
    chance = random.Random(kind)
    content = chance.randbytes(64 * MIB)
    digest = hashlib.sha256(content).hexdigest()
    async with serving(kind, tmp_path) as (server, channel):
        begun = resident(server)
        sender = Sender(channel, content, set(chance.sample(range(64), CUTS)))
        await sender.send_to(30 * MIB)
        assert resident(server) - begun < MOST_GROWN
        server.kill()
        await server.start()
        begun = resident(server)
        answer = await sender.send_to(len(content))
        assert (answer.resource.content_sha256, answer.resource.content_size) == (digest, len(content))
        got = bytearray()
        cuts = sorted(chance.sample(range(1, 64), CUTS))
        while len(got) < len(content):
            request = pb.ReadContentRequest(scope=SESSION, name="draft", position=len(got), if_sha256=digest)
            stream = ResourceServiceStub(channel).ReadContent(request, metadata=TRUSTED)
            async for part in stream:
                assert part.position == len(got)
                got += part.data
                if cuts and len(got) >= cuts[0] * MIB:
                    cuts.pop(0)
                    stream.cancel()
                    break
        assert not cuts
        assert hashlib.sha256(got).hexdigest() == digest
        # A new server takes some for its first calls: together it came to 32.9 MiB once.
        assert resident(server) - begun < 48 * MIB < len(content)


@pytest.mark.parametrize("kind", ["memory", *DURABLE])
async def test_a_reader_ends_with_the_version_that_it_began_with(kind: str, tmp_path: Path) -> None:
    async with new_stores(tmp_path) as new_store, desk_server(store=await new_store(kind)) as desk:
        await desk.session()
        old, new = (random.Random(seed).randbytes(5 * MIB + 17) for seed in (1, 2))
        await _send(desk, "old", old)
        stream = desk.resources.ReadContent(
            pb.ReadContentRequest(scope=SESSION, name="draft"), metadata=TRUSTED
        )
        parts = aiter(stream)
        read = (await anext(parts)).data
        await _send(desk, "new", new)
        await desk.sweep()
        async for one in parts:
            read += one.data
        assert read == old
        assert await desk.content(SESSION, "draft") == new


async def _send(desk: Desk, upload: str, content: bytes) -> None:
    for start in range(0, len(content), MIB):
        last = start + MIB >= len(content)
        await desk.write(SESSION, "draft", start, content[start : start + MIB], upload=upload, finish=last)


@pytest.mark.parametrize("kind", SHARED)
async def test_of_two_writers_one_wins_each_round(kind: str, tmp_path: Path) -> None:
    async with new_stores(tmp_path) as new_store:
        url = await new_store(kind)
        async with desk_server(store=url) as one, desk_server(store=url) as other:
            await one.session()
            for version in range(100):

                async def put(desk: Desk, who: str, version: int = version) -> bool:
                    known = Precondition(version=version)
                    try:
                        await desk.put(
                            SESSION, "draft", {"title": who}, f"{who} {version}".encode(), precondition=known
                        )
                    except aio.AioRpcError as error:
                        return read_refusal(error).reason is not Reason.VERSION_MISMATCH
                    return True

                won = await asyncio.gather(put(one, "one"), put(other, "other"))
                assert sorted(won) == [False, True]
                winner = "one" if won[0] else "other"
                got = await (one, other)[version % 2].get(SESSION, "draft")
                assert (got.meta.version, got.content.decode()) == (version + 1, f"{winner} {version}")
                assert decode_json(got.state.json)["title"] == winner  # type: ignore[call-overload, index]


@pytest.mark.parametrize(("writes", "kills"), [(300, 2), pytest.param(1_000, 8, marks=pytest.mark.soak)])
async def test_state_and_content_never_part(writes: int, kills: int, tmp_path: Path) -> None:
    async with serving("sqlite", tmp_path) as (server, channel):
        stub = ResourceServiceStub(channel)
        written = 0

        async def write(name: str) -> None:
            nonlocal written
            while written < writes:
                written += 1
                number = written
                resource = pb.Resource(
                    scope=SESSION,
                    name=name,
                    state=Value(json=encode_json({"words": number}).decode()),
                    content=b"%d" % number,
                )
                try:
                    await stub.PutResource(
                        pb.PutResourceRequest(resource=resource),
                        metadata=TRUSTED,
                        timeout=5,
                        wait_for_ready=True,
                    )
                except aio.AioRpcError:
                    await asyncio.sleep(0.05)

        async def read(name: str) -> None:
            while written < writes:
                request = pb.GetResourceRequest(scope=SESSION, name=name)
                try:
                    got = (
                        await stub.GetResource(request, metadata=TRUSTED, timeout=5, wait_for_ready=True)
                    ).resource
                except aio.AioRpcError:
                    await asyncio.sleep(0.05)
                    continue
                assert decode_json(got.state.json)["words"] == int(got.content)  # type: ignore[call-overload, index]

        async def kill() -> None:
            for number in range(kills):
                await until(lambda: written >= writes * (number + 1) / (kills + 1), 50.0)  # noqa: B023
                server.kill()
                await server.start()

        await asyncio.gather(
            *(write(name) for name in ("draft", "plan") for _ in range(4)),
            read("draft"),
            read("plan"),
            kill(),
        )


class Dying:
    """A store of which each commit, or piece, may be the last thing that its process does."""

    def __init__(self, store: MemoryStore, dies_at: int, *, done: bool) -> None:
        self._store, self._left, self._done = store, dies_at, done
        self._commit, self._pieces = store.commit, store.pieces
        self.died = False
        store.commit = self._commit_or_die  # type: ignore[method-assign]
        assert self._pieces is not None
        self._put, self._delete = self._pieces.put, self._pieces.delete
        self._pieces.put = self._dying(self._put)  # type: ignore[method-assign]
        self._pieces.delete = self._dying(self._delete)  # type: ignore[method-assign]

    def revive(self) -> None:
        assert self._pieces is not None
        self._store.commit = self._commit  # type: ignore[method-assign]
        self._pieces.put, self._pieces.delete = self._put, self._delete  # type: ignore[method-assign]

    async def _commit_or_die(self, batch: Batch) -> CommitResult:
        kinds = {type(write).__name__ for write in batch}
        if not any(
            "Blob" in kind or "Resource" in kind or "Document" in kind or "Delete" in kind for kind in kinds
        ):
            return await self._commit(batch)
        result: CommitResult = await self._dying(self._commit)(batch)
        return result

    def _dying(self, act: Any) -> Any:
        async def acted(*args: Any, **named: Any) -> Any:
            if self.died:
                raise StoreUnavailableError
            self._left -= 1
            self.died = self._left < 0
            if self.died and not self._done:
                raise StoreUnavailableError
            result = await act(*args, **named)
            if self.died:
                raise StoreUnavailableError
            return result

        return acted


@pytest.mark.parametrize("done", [False, True], ids=["before it is done", "when it is done"])
async def test_whatever_step_is_the_last_nothing_is_lost_or_left(done: bool) -> None:
    step, died = 0, True
    while died:
        store = MemoryStore()
        async with desk_server(store=store, settings=replace(QUICK, lease=Seconds(30.0))) as desk:
            await desk.session()
            dying = Dying(store, step, done=done)
            with suppress(aio.AioRpcError, StoreUnavailableError):
                await _life(desk)
            died = dying.died
            dying.revive()
            async with asyncio.timeout(10):
                while await _left(desk) != await pieces(store):
                    await desk.sweep()
            assert [line async for line in check_store(store)] == [], step
        step += 1
    assert step > 20


async def _life(desk: Desk) -> None:
    user = ScopeRef(user_id="ada", flow_kind=KIND)
    await desk.put(SESSION, "draft", {"words": 1}, b"one")
    await desk.write(SESSION, "draft", 0, b"tw")
    await desk.write(SESSION, "draft", 2, b"o", finish=True)
    for number in range(5):
        await desk.put(SESSION, f"files/{number}", {}, b"%d" % number)
    await desk.put(user, "cards/a", {}, b"card")
    await desk.delete(SESSION, "files/4")
    await desk.sweep()
    await desk.sessions.DeleteSession(sessions.DeleteSessionRequest(session_id="s1"))
    await desk.sweep()


async def _left(desk: Desk) -> list[Any]:
    """The pieces of what can be read."""
    store = desk.engine.store
    gone = {
        orphaned_owner(note.key)
        for note in await store.read_documents(DocumentRange(STORE_OWNER, ORPHANED, 100))
    }
    found = []
    for document in await store.read_documents(DocumentRange(STORE_OWNER, RESOURCE, 100)):
        record = resource_in(document)
        if record.content is not None and owner_of(document.key) not in gone:
            found.append(record.content.blob.id)
    assert store.pieces is not None
    return [key for key in await store.pieces.list(after=None, limit=100) if key.blob in found]
