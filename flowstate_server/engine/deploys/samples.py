"""Records from all over a store, a few pages of them, without reading it all."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import Table

Record = TypeVar("Record")

PAGE = 100
PAGE_BYTES = 1024 * 1024
SAMPLE = 1000
"""Records of a kind."""
MOST_LOOKS = 150
"""Most reads of a sample: ids that are alike at their beginnings take some until a gap between them is found."""
TENANTS = 10
"""Tenants whose sessions are looked at."""

_LAST = "\U0010ffff"
_LENGTH = 40
"""Characters of an id that are looked at."""


class Walk(Generic[Record]):
    """Records of one table in the order of their ids: all of one tenant, or of one kind of scope.

    ``key`` makes a key of an id, ``id_of`` the id of a record, ``covers`` says whether a record belongs to the walk;
    those that do follow one another. ``on_damage`` hears of what can't be understood.
    """

    def __init__(
        self,
        exports: Exports,
        table: Table[Any, Record],
        *,
        key: Callable[[str], Any],
        id_of: Callable[[Record], str],
        covers: Callable[[Record], bool],
        on_damage: Callable[[DamagedRecord], None],
    ) -> None:
        self._exports = exports
        self._table = table
        self._key = key
        self._id_of = id_of
        self._covers = covers
        self._on_damage = on_damage

    async def all(self) -> AsyncIterator[Sequence[Record]]:
        """Every record, page by page."""
        after = self._key("")
        while True:
            page, after, more = await self._page(after)
            if page:
                yield page
            if not more:
                return

    async def sample(self, most: int) -> AsyncIterator[Sequence[Record]]:
        """Up to about ``most`` records, from the beginning and from wherever there are ids that differ much."""
        first, _, more = await self._page(self._key(""))
        if first:
            yield first
        if not (first and more):
            return
        gaps = deque([(self._id_of(first[-1]), _LAST)])
        alphabet = Alphabet(map(self._id_of, first))
        looks, found = 1, len(first)
        while gaps and looks < MOST_LOOKS and found < most:
            after, before = gaps.popleft()
            middle = alphabet.between(after, before)
            if middle is None:
                continue
            looks += 1
            page, _, more = await self._page(self._key(middle))
            page = [record for record in page if self._id_of(record) < before]
            if not page:
                gaps.append((after, middle))
                continue
            found += len(page)
            yield page
            gaps.append((after, middle))
            if more:
                gaps.append((self._id_of(page[-1]), before))

    async def _page(self, after: Any) -> tuple[list[Record], Any, bool]:
        """The next records, the key behind them, and whether there may be more of the walk."""
        try:
            page = await self._export(after, PAGE)
        except DamagedRecord:
            return await self._up_to_damage(after)
        kept = [record for record in page if self._covers(record)]
        if not page or len(kept) < len(page):
            return kept, after, False
        return kept, self._table.key_of(page[-1]), True

    async def _up_to_damage(self, after: Any) -> tuple[list[Record], Any, bool]:
        """A damaged record fails its page: one by one, up to it and past it."""
        kept: list[Record] = []
        while True:
            try:
                page = await self._export(after, 1)
            except DamagedRecord as damage:
                self._on_damage(damage)
                return kept, damage.key, True
            if not page or not self._covers(page[0]):
                return kept, after, False
            kept += page
            after = self._table.key_of(page[0])

    async def _export(self, after: Any, limit: int) -> Sequence[Record]:
        return await self._exports.export(self._table, after=after, limit=limit, max_bytes=PAGE_BYTES)


class Alphabet:
    """Makes texts between texts, of printable ASCII and whatever else is in some ids; others count as near ones."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._characters = sorted({*map(chr, range(32, 127)), *"".join(ids), _LAST})

    def between(self, after: str, before: str) -> str | None:
        """A text about in the middle; ``None`` if there is none to speak of."""
        low, high = self._number(after), self._number(before)
        rest, text = (low + high) // 2, ""
        for _ in range(_LENGTH):
            rest, digit = divmod(rest, len(self._characters))
            text = self._characters[digit] + text
        text = text.rstrip(" ")
        return text if after < text < before else None

    def _number(self, text: str) -> int:
        number = 0
        for character in text[:_LENGTH].ljust(_LENGTH):
            number = number * len(self._characters) + max(0, bisect_right(self._characters, character) - 1)
        return number


async def tenants_of_sessions(exports: Exports, most: int) -> list[str]:
    """The first tenants that have sessions."""
    found: list[str] = []
    after: SessionKey | None = None
    while len(found) < most:
        try:
            page = await exports.export(tables.SESSIONS, after=after, limit=1, max_bytes=PAGE_BYTES)
        except DamagedRecord as damage:
            tenant = damage.key.tenant
        else:
            if not page:
                break
            tenant = page[0].key.tenant
        found.append(tenant)
        after = SessionKey(tenant, _LAST)
    return found
