"""Pages of records, bounded in number and bytes, and records that can't be understood."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar


class Measured(Protocol):
    """Has a size in bytes."""

    @property
    def size(self) -> int: ...


Record = TypeVar("Record")
Sized = TypeVar("Sized", bound=Measured)
Row = TypeVar("Row")


_log = logging.getLogger(__name__)


class DamagedRecord(Exception):
    """What is stored under ``key`` can't be understood; ``why`` says what is wrong with it, without its values."""

    def __init__(self, key: Any, why: str) -> None:
        super().__init__(f"what is stored under {key} can't be understood: {why}")
        self.key = key
        self.why = why


def understood(
    rows: Iterable[Row], key_of: Callable[[Row], Any], record_of: Callable[[Row], Record]
) -> Iterator[Record]:
    """The records of ``rows``, one by one.

    Raises:
        DamagedRecord: one of them is none.
    """
    for row in rows:
        try:
            record = record_of(row)
        except (LookupError, TypeError, ValueError) as error:
            raise DamagedRecord(key_of(row), type(error).__name__) from error
        yield record


def understood_one(key: Any, row: Row, record_of: Callable[[Row], Record]) -> Record:
    """The record of ``row``.

    Raises:
        DamagedRecord: it is none.
    """
    try:
        return record_of(row)
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedRecord(key, type(error).__name__) from error


def those_understood(
    rows: Iterable[Row], key_of: Callable[[Row], Any], record_of: Callable[[Row], Record]
) -> Iterator[Record]:
    """The same for reads of many that no single record may bring down: a damaged one is named in the log, and left
    out."""
    for row in rows:
        try:
            record = record_of(row)
        except (LookupError, TypeError, ValueError) as error:
            _log.error(
                "what is stored under %s can't be understood and is left out", key_of(row), exc_info=error
            )
            continue
        yield record


def page_of(records: Iterable[Sized], limit: int, max_bytes: int) -> list[Sized]:
    """The first ``limit`` records, or those before ``max_bytes`` are exceeded, but at least one if there is any."""
    page: list[Sized] = []
    size = 0
    for record in islice(records, limit):
        size += record.size
        if page and size > max_bytes:
            break
        page.append(record)
    return page
