"""The writes a store commits.

A :data:`Batch` is a tuple of writes that a store commits all of or none of. What each write means is defined once, by
``flowstate_server.stores.commit``; an adapter never interprets one. A write that can't be done refuses its whole batch:
``Store.commit`` raises the error named with the write and stores nothing of the batch. Those of documents and blobs
are in ``contract/document_writes.py`` and ``contract/blob_writes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.layered_state import LayeredState
from flowstate_server.model.records import (
    Failure,
    Generations,
    IdempotencyKey,
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.model.state_parts import Fitting, StatePatch
from flowstate_server.stores.contract.tables import Table


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
    :class:`AppendEvents` to its log, a :class:`ChangeState` logged there or :class:`FinishRequest`.
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


@frozen
class PutIdempotencyKey(Write):
    """Remember this batch's results under ``key`` for ``window``.

    Looked at before every other write of its batch: a remembered key with the same fingerprint writes nothing and
    gives the remembered results (:attr:`CommitResult.replayed`), with another one it refuses the batch with
    ``IdempotencyKeyReusedError``. A refused batch is not remembered.

    A key is forgotten with the sessions that its batch named: once one of them was deleted, made anew or not, it counts
    as never used. User and org records may be deleted and made anew: a repeat is one all the same, and writes nothing.
    """

    key: IdempotencyKey
    fingerprint: str
    window: Micros


@frozen
class Savepoint(Write):
    """What stands before it in its batch is committed even if a write behind it is refused: then ``Store.commit``
    raises :class:`PartlyCommitted`. One a batch, and only in batches without an idempotency key."""


class PartlyCommitted(Exception):
    """Of a batch with a :class:`Savepoint`: ``result`` is that of the writes before it, which were committed, ``error``
    is why the others were refused."""

    def __init__(self, result: CommitResult, error: Exception) -> None:
        super().__init__("what stands before the savepoint was committed, the rest was refused")
        self.result = result
        self.error = error


class SessionChanged(Exception):
    """The session is not the incarnation that the batch was made for. Read it again and decide anew."""


@frozen
class CreateSession(Write):
    """Create the session as bound here.

    A live session of that id refuses the batch: with ``SessionAlreadyExistsError`` if ``exclusive``, else with
    :class:`SessionChanged`. The tombstone of a deleted one is replaced if ``exclusive``, and its version goes on; else
    it refuses the batch with ``SessionNotFoundError``.
    """

    key: SessionKey
    log_id: str
    flow_kind: str
    user_id: str
    org_id: str = ""
    ephemeral: bool = False
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    exclusive: bool = False


@frozen
class RequireSession(Write):
    """Refuse with ``SessionNotFoundError`` unless the session lives, with :class:`SessionChanged` unless it is the
    incarnation ``log_id``. With ``active`` something has happened in it, of which nothing else tells."""

    key: SessionKey
    log_id: str
    active: bool = False


@frozen
class UpdateSession(Write):
    """Replace the named metadata fields (``title``, ``description``, ``tags``, ``metadata``) of a live session.

    ``precondition``, of the metadata's version and of the session's incarnation, failing: ``VersionMismatchError``. A
    change adds 1 to the version and appends ``session.metadata_changed``, to the log of ``request`` if given. Equal
    values change nothing.
    """

    key: SessionKey
    fields: JsonObject
    request: RequestKey | None = None
    precondition: Precondition | None = None


@frozen
class CreateRequest(Write):
    """Create a request in a session that lives or is created earlier in the batch: in progress, run by ``process``, or
    queued, with no process. One that has a ``gate`` goes through it later in the batch, by ``EnterGate``.

    Looked at before every other write of its batch: if the request exists with the same ``user_id`` and
    ``fingerprint``, nothing of the batch is written and :attr:`CommitResult.attached` is the existing one; with
    others, ``RequestAlreadyExistsError``. One that was removed, by itself or with its session, refuses the batch with
    ``RequestNotFoundError`` for as long as it is remembered. Refused with ``LeaseLostError`` if ``process`` does not
    hold its lease.

    ``load`` and ``load_documents`` name what its run starts from: it comes back, as this commit sees it, in
    :attr:`WriteResult.states` and, as far as it exists, in :attr:`WriteResult.documents`.
    """

    key: RequestKey
    session: SessionKey
    log_id: str
    user_id: str
    org_id: str
    fingerprint: str
    process: str
    flow_kind: str
    action: str
    scopes: tuple[ScopeKey, ...]
    input: bytes
    load: tuple[ScopeKey, ...] = ()
    load_documents: tuple[DocumentKey, ...] = ()
    status: RequestStatus = RequestStatus.IN_PROGRESS
    gate: str = ""
    timeout: Micros = Micros(0)
    trace: str = ""
    correlation_id: str = ""


@frozen
class RequireRun(Write):
    """Refuse unless the request is open (else ``RequestTerminalError``) and, if ``process`` is given, is run by that
    process, which holds its lease (else ``LeaseLostError``): nobody runs a queued or suspended one. An unknown
    request: ``RequestNotFoundError``.

    The first write of every batch of a run. ``process`` is ``None`` for a caller that writes on a run's behalf.
    """

    request: RequestKey
    process: str | None


@frozen
class RequestCancel(Write):
    """Ask the process that runs the request to cancel it. No change if the request has ended or was asked before.

    One that is queued ends as aborted; ``scopes`` and ``gate`` are those of its record.
    """

    request: RequestKey
    reason: str
    scopes: tuple[ScopeKey, ...] = ()
    gate: str = ""


class LogWentBack(Exception):
    """The store has lost events that it had acknowledged, as in a failover to a copy that was behind."""


@frozen
class FinishRequest(Write):
    """End a request: its status, outcome and terminal event in one, and its request scope removed.

    ``payload`` is the terminal event's, to which the commit adds ``scope_versions`` (0 for a record never written).
    ``RequestTerminalError`` if the request has ended. ``swept`` names the process whose requests a sweep ends: refused
    with ``LeaseLostError`` unless that process owns the request and is fenced. A run's own end goes with
    :class:`RequireRun` instead. ``scopes`` are those of the request's record; ``reason``
    tells why it was aborted or interrupted. A request does not complete unless its log has come to ``sequence``, the
    newest event that its run was told of (else :class:`LogWentBack`). ``unbegun``: refused with ``LeaseLostError``
    unless it is queued. ``gate`` is that of its record, which whatever ends a request hands to the next one: named
    here, it need not be found out first.
    """

    request: RequestKey
    status: RequestStatus
    event: EventType
    payload: JsonObject
    scopes: tuple[ScopeKey, ...]
    output: bytes | None = None
    failure: Failure | None = None
    reason: str = ""
    swept: str | None = None
    sequence: int = 0
    unbegun: bool = False
    gate: str = ""


@frozen
class AppendEvents(Write):
    """Append events, and the rows of the items that ``item.done`` events carry, to the log of ``request`` or, without
    one, of ``session`` only.

    Refused with ``SessionNotFoundError`` unless the session lives; of a request with ``RequestNotFoundError`` unless it
    is one of the session as it lives now, ``RequestTerminalError`` once it has ended.
    """

    session: SessionKey
    events: tuple[Event, ...]
    request: RequestKey | None = None


@frozen
class Changed:
    """A new state, its JSON text (of a large one what the change does to it) and the events that tell of it; the new
    version is ``record.version + 1``. ``generations`` and ``schema_hash`` are those of the record from now on;
    ``None``: as they were.
    """

    state: JsonObject | LayeredState
    text: bytes | StatePatch
    events: tuple[Event, ...] = ()
    generations: Generations | None = None
    schema_hash: str | None = None
    fitting: Fitting | None = None


class NoChange:
    """What a change returns when the stored state already is what it would make."""


NO_CHANGE = NoChange()

Change = Callable[[StateRecord], Changed | NoChange]
"""A pure function of the newest record. Called inside the transaction, perhaps several times; whatever it raises
refuses its batch alone. No author code runs in it but schema validators that were found to be quick."""


@frozen
class ChangeState(Write):
    """Replace a state by what ``change`` makes of the newest record; each change adds exactly 1 to the version.

    ``precondition`` failing: ``VersionMismatchError``. ``incarnation``, if given, must be that of the record, for a
    session scope the session's ``log_id`` (else ``ScopeUnavailableError``); ``""``, noted when there was no record of
    a user or org but perhaps a tombstone, of version ``absent_at``, is met by any, so that racing creators agree on
    one, unless one was deleted since and that is not forgotten yet. A session scope needs its live session
    (``SessionNotFoundError``), a request scope its request and ``request`` the one it names, in progress
    (``RequestNotFoundError``, ``RequestTerminalError``). Events go to the log of ``request``; without one those of a
    session scope go to the session's log only, those of a request scope to its request's log, those of a user or org
    record nowhere. A record that is made gets the ``new_incarnation``, if one is given.
    """

    key: ScopeKey
    change: Change
    precondition: Precondition | None = None
    request: RequestKey | None = None
    incarnation: str | None = None
    new_incarnation: str = ""
    absent_at: int = 0


@frozen
class DeleteState(Write):
    """Make a user or org record a tombstone, which keeps the version, and note that it is to be forgotten some time.

    If there is none that is no change, and with ``allow_missing`` whatever the precondition.
    """

    key: ScopeKey
    precondition: Precondition | None = None
    allow_missing: bool = False


@frozen
class AtVersion:
    """The record must be at exactly this version (0: never written).

    With an ``incarnation`` it must exist and be of that as well, here and below.
    """

    version: int
    incarnation: str = ""


@frozen
class Exists:
    """The record must exist, or must not."""

    exists: bool
    incarnation: str = ""


Precondition = AtVersion | Exists


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


@frozen
class RenewLease(Write):
    """Renew a process's lease from the store's time on; ``start`` makes the row of a new process.

    Refused with ``LeaseLostError`` if the process is fenced or unknown. A batch of this write alone goes ahead of the
    commit queue.
    """

    process: str
    lease: Micros
    start: bool = False


@frozen
class FenceProcess(Write):
    """Fence a process whose lease expired: none of its runs commits anything from then on.

    Refused with ``LeaseLostError`` if the lease was renewed since ``seen`` (its ``renew_time`` when judged), or is not
    expired, unless the process is ``known_dead``. Fencing a fenced or unknown process changes nothing.
    """

    process: str
    seen: Micros
    known_dead: bool = False
