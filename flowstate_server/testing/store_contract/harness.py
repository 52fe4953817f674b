"""What an adapter gives the checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self, TypeVar

from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.store import Store

Key = TypeVar("Key")


class NotProvided(Exception):
    """The adapter has no such thing, so the check does not apply to it. Report the check as skipped, with the text."""


class StoreHarness(ABC):
    """Opens handles on one set of data, made for one check; use it as a context manager.

    ``persistent``: data outlives :meth:`Store.close`. ``shared``: several handles may be open at once, as those of
    several processes are.
    """

    persistent: bool = False
    shared: bool = False

    def __init__(self) -> None:
        self._open: list[Store] = []

    @abstractmethod
    def make(self) -> Store:
        """A new handle, not yet opened, on the data that all handles of this harness share."""

    def crash_after(self, store: Store, statements: int) -> None:
        """Arm ``store`` so that the process seems to die after that many more statements of its commits: nothing of it
        reaches the data from then on and every call fails. Its data must then open again."""
        raise NotProvided("crash points are not provided")

    async def damage(self, store: Store, table: Table[Key, Any], key: Key) -> None:
        """Spoil what is stored of a session or request, ``table`` being ``SESSIONS`` or ``REQUESTS``, so that it can't
        be understood once ``store``, which is open, was opened again. Where nothing is stored nothing is spoilt."""
        raise NotProvided("damaged records are not provided")

    async def open(self) -> Store:
        """An open handle; the harness closes it in the end.

        Raises:
            NotProvided: a second one at once, of an adapter that is not ``shared``.
        """
        if self._open and not self.shared:
            raise NotProvided("the data can be open once only")
        store = self.make()
        await store.open()
        self._open.append(store)
        return store

    async def reopen(self, store: Store) -> Store:
        """Close ``store`` and open its data again.

        Raises:
            NotProvided: the adapter is not ``persistent``.
        """
        if not self.persistent:
            raise NotProvided("the data goes when it is closed")
        self._open.remove(store)
        await store.close()
        return await self.open()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._open:
            await self._open.pop().close()
