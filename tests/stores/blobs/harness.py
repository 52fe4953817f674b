"""A store in memory whose slot for blobs is another one, and whose process can die."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flowstate_server.errors import StoreUnavailableError, UnclearCommitError
from flowstate_server.stores.contract.backend import Backend, Group, GroupStorage, Ports
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.memory.store import MemoryBackend
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract import StoreHarness

T = TypeVar("T")


class SlotHarness(StoreHarness):
    """Documents outlive their handles, in memory; pieces are in the slot."""

    persistent = True
    shared = True

    def __init__(self, pieces: BlobPieces | None = None) -> None:
        super().__init__()
        self._memory = MemoryBackend()
        self._pieces = pieces

    def make(self) -> Store:
        return Store(_Backend(self._memory, self._pieces))

    def crash_after(self, store: Store, statements: int) -> None:
        assert isinstance(store.backend, _Backend)
        store.backend.death.left = statements


class Death:
    """Comes after so many more steps; a commit or piece is one step before it is there, and one after that."""

    def __init__(self) -> None:
        self.left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise StoreUnavailableError
            self.left -= 1

    async def around(self, write: Callable[[], Awaitable[T]], lost: type[Exception]) -> T:
        self.step()
        answer = await write()
        try:
            self.step()
        except StoreUnavailableError:
            raise lost from None
        return answer


class _Backend(Backend):
    shared = True

    def __init__(self, memory: MemoryBackend, pieces: BlobPieces | None) -> None:
        self._memory = memory
        self._pieces = pieces
        self.death = Death()

    async def open(self) -> Ports:
        ports = await self._memory.open()
        pieces = self._pieces or ports.pieces
        assert pieces is not None
        return replace(
            ports,
            groups=_DyingGroups(ports.groups, self.death),
            reads=_dying_reads(ports.reads, self.death),
            pieces=_DyingPieces(pieces, self.death),
        )

    async def close(self) -> None:
        await self._memory.close()


class _DyingGroups(GroupStorage):
    def __init__(self, groups: GroupStorage, death: Death) -> None:
        self._groups = groups
        self._death = death

    async def run(self, group: Group) -> Iterable[Topic]:
        return await self._death.around(lambda: self._groups.run(group), UnclearCommitError)


class _DyingPieces(BlobPieces):
    def __init__(self, pieces: BlobPieces, death: Death) -> None:
        self._pieces = pieces
        self._death = death

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        return await self._death.around(lambda: self._pieces.put(key, piece), StoreUnavailableError)

    async def read(self, key: PieceKey) -> bytes | None:
        self._death.step()
        return await self._pieces.read(key)

    async def delete(self, blob: str, *, limit: int) -> int:
        return await self._death.around(lambda: self._pieces.delete(blob, limit=limit), StoreUnavailableError)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        self._death.step()
        return await self._pieces.list(after=after, limit=limit)


def _dying_reads(reads: Any, death: Death) -> Any:
    """The reads, each of which is a step."""

    class Dying:
        def __getattr__(self, name: str) -> Any:
            method = getattr(reads, name)

            async def read(*args: Any, **keywords: Any) -> Any:
                death.step()
                return await method(*args, **keywords)

            return read

    return Dying()
