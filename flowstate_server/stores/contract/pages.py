"""Pages of records, bounded in number and bytes, and records that can't be understood."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from flowstate_server.model.events import EventRecord, LogHead
from flowstate_server.model.scopes import LogKey, RequestKey
from flowstate_server.stores.contract.reads import EventPage

Record = TypeVar("Record")
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


def page_of(records: Iterable[Record], limit: int, max_bytes: int) -> list[Record]:
    """The first ``limit`` records, or those before ``max_bytes`` are exceeded, but at least one if there is any.

    Records without a ``size`` hold no texts, and count nothing.
    """
    page: list[Record] = []
    size = 0
    for record in islice(records, limit):
        size += getattr(record, "size", 0)
        if page and size > max_bytes:
            break
        page.append(record)
    return page


def cut(
    records: Iterable[Record], limit: int, max_bytes: int, size_of: Callable[[Record], int]
) -> tuple[list[Record], bool]:
    """As :func:`page_of`, and whether more follow."""
    page: list[Record] = []
    size = 0
    for record in records:
        size += size_of(record)
        if page and (len(page) >= limit or size > max_bytes):
            return page, True
        page.append(record)
    return page, False


def event_page(
    records: Iterable[EventRecord], log: LogKey, head: LogHead, limit: int, max_bytes: int
) -> EventPage:
    """The page of ``log`` that begins with ``records``, of which there are more than ``limit`` if the log has as
    many."""
    page: list[EventRecord] = []
    size = 0
    for record in records:
        size += record.size
        if page and (len(page) >= limit or size > max_bytes):
            last = page[-1]
            end = last.sequence if isinstance(log, RequestKey) else last.session_sequence
            return EventPage(tuple(page), head, end)
        page.append(record)
    return EventPage(tuple(page), head, head.sequence)
