"""The records of one table: what was loaded, what kept batches made of it, and what the batch being decided changes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Generic, TypeVar

from flowstate_server.stores.contract.tables import Loaded, Table

Key = TypeVar("Key")
Record = TypeVar("Record")

_UNKNOWN: Any = object()


class WorkingTable(Generic[Key, Record]):
    """The records of one table. What the batch being decided puts is kept or dropped as a whole; ``touched`` are the
    tables in which it has put something. ``None`` stands for a record that was removed."""

    def __init__(self, loaded: dict[Key, Record], touched: list[WorkingTable[Any, Any]]) -> None:
        self.loaded = loaded
        self._touched = touched
        self._kept: dict[Key, Record | None] = {}
        self._batch: dict[Key, Record | None] = {}

    def get(self, key: Key) -> Record | None:
        record: Record | None = self._batch.get(key, _UNKNOWN)
        if record is _UNKNOWN:
            record = self._kept.get(key, _UNKNOWN)
            if record is _UNKNOWN:
                record = self.loaded.get(key)
        return record

    def put(self, key: Key, record: Record | None) -> None:
        if not self._batch:
            self._touched.append(self)
        self._batch[key] = record

    def remove(self, key: Key) -> None:
        self.put(key, None)

    def keep(self) -> None:
        self._kept.update(self._batch)
        self._batch.clear()

    def drop(self) -> None:
        self._batch.clear()

    def changed(self) -> dict[Key, Record | None]:
        """What the kept batches have put."""
        return self._kept

    def put_so_far(self) -> dict[Key, Record | None]:
        """What the kept batches and the one being decided have put."""
        return {**self._kept, **self._batch} if self._batch else self._kept


def records_of(
    table: Table[Key, Record], loaded: Loaded, found: Iterable[Iterable[Record]]
) -> dict[Key, Record]:
    """Those that were loaded by name, and those that sessions and ranges have brought."""
    named: dict[Key, Record] = loaded.records.get(table, {})
    if found:
        named = {**{table.key_of(record): record for record in chain.from_iterable(found)}, **named}
    return named
