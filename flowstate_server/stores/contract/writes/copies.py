"""Copies: records as they are in another store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowstate_server.model.documents import Document
from flowstate_server.model.frozen import frozen
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.contract.writes.batches import Write


class ImportInterrupted(Exception):
    """The copy has not come as far as it was expected to: another one is writing, or wrote, to the same store."""


@frozen
class ImportRecords(Write):
    """Take over records of one table as they are in another store, into one that nobody serves.

    A record that is there already is replaced. Sessions come before their heads, requests are given in progress before
    their events and as they ended after them, in :data:`REQUESTS`, outcomes included; events keep their places.
    ``place`` remembers how far the copy has come, with this batch or not at all; ``expected`` is the text that it must
    have had before (``None``: it must be absent), else :class:`ImportInterrupted`.
    """

    place: Document
    expected: bytes | None
    table: Table[Any, Any] | None = None
    records: Sequence[Any] = ()
