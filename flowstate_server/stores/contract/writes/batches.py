"""Batches of writes, and what they are answered."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import RequestHead, RequestRecord, SessionRecord, StateRecord


class Write:
    """One thing that a commit does. What it needs and what it means is told once, in ``stores/commit/meanings.py``."""

    __slots__ = ()


Batch = tuple[Write, ...]
"""Writes of which a store commits all or none."""


@frozen
class WriteResult:
    """What one write did.

    ``id`` names what was written, ``ids`` are more of them where a write makes several things; ``version`` is the
    record's after the write, ``changed`` says whether the write changed anything. The records are empty in a replay.
    ``states`` and ``documents`` answer what :class:`CreateRequest` loads, ``head`` is the request's after
    :class:`AppendEvents` to its log or :class:`FinishRequest`.
    """

    id: str = ""
    version: int = 0
    changed: bool = True
    ids: tuple[str, ...] = ()
    session: SessionRecord | None = None
    request: RequestRecord | None = None
    head: RequestHead | None = None
    state: StateRecord | None = None
    states: tuple[StateRecord, ...] = ()
    document: Document | None = None
    documents: tuple[Document, ...] = ()


@frozen
class CommitResult:
    """The results of a batch, one for each write, and the store's time of the commit.

    ``replayed``: the batch's idempotency key was known, nothing was written, ``results`` hold the remembered ids,
    versions and ``changed``. ``attached``: the batch's request existed, nothing was written, ``results`` is empty.
    """

    results: tuple[WriteResult, ...]
    time: Micros
    replayed: bool = False
    attached: RequestHead | None = None
