"""What a store keeps about sessions, requests, states and server processes.

Records are frozen: a change is a new record. ``dict`` and ``list`` values inside them are never modified in place.
Narrow, often rewritten rows (the ``...Head`` records) are kept apart from documents, as stores keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, NamedTuple, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import EMPTY_OBJECT, JsonObject, decode_json, encode_json
from flowstate_server.model.layered_state import LayeredState
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.model.state_parts import Fitting, StateParts
from flowstate_server.model.word import Word


@frozen
class SessionRecord:
    """A session's binding (fixed at creation) and its metadata (versioned by ``version``, apart from its state).

    ``log_id`` is the incarnation: a new random value for each creation under the same id.
    """

    key: SessionKey
    log_id: str
    flow_kind: str
    user_id: str
    org_id: str
    ephemeral: bool
    create_time: Micros
    update_time: Micros
    version: int = 1
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    delete_time: Micros = Micros(0)

    @property
    def deleted(self) -> bool:
        return self.delete_time > 0

    def log_ids(self) -> Mapping[str, str]:
        return {
            "session_id": self.key.session_id,
            "user_id": self.user_id,
            "org_id": self.org_id,
            "tenant": self.key.tenant,
            "flow_kind": self.flow_kind,
        }


@frozen
class SessionHead:
    """A session's counters: the newest ``session_sequence``, the number of the newest turn, the last activity.

    ``floor`` is the highest ``session_sequence`` of a durable event that retention has removed: what lies up to there
    can't be read again. Nothing removes any yet; stores keep the number as it is written.
    """

    key: SessionKey
    log_id: str
    sequence: int
    turns: int
    activity_time: Micros
    floor: int = 0


class RequestStatus(Word):
    """Where a request stands: open (queued, in progress, suspended) or ended.

    Of one that is ``removed``, with its session or by retention, nothing is left but its id: to readers there is no
    such request, and for a while no other one gets the id.
    """

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    REMOVED = "removed"

    @property
    def ended(self) -> bool:
        """Whether the request has its outcome, and nothing follows."""
        return self not in OPEN_STATUSES

    @property
    def open(self) -> bool:
        return self in OPEN_STATUSES

    @property
    def waiting(self) -> bool:
        """Open, and run by nobody, whatever process ran it last."""
        return self in _WAITING_STATUSES


_WAITING_STATUSES = frozenset((RequestStatus.QUEUED, RequestStatus.SUSPENDED))
OPEN_STATUSES = _WAITING_STATUSES | {RequestStatus.IN_PROGRESS}


@frozen
class Failure:
    """Why a request or a derived value failed, in words meant for the client.

    ``reason`` is the flow's own code, ``ACTION_FAILED``, ``ACTION_TIMEOUT``, ``WRITE_CONFLICT`` or ``INTERNAL``; with
    ``INTERNAL`` the server's log holds the traceback under ``error_id``.
    """

    reason: str
    message: str
    details: JsonObject = field(default_factory=dict)
    error_id: str = ""
    retryable: bool = False


@frozen
class RequestHead:
    """The part of a request that its writes read and change.

    ``user_id`` (the owner) and ``fingerprint`` decide whether a repeated dispatch attaches; ``process`` names the
    server process that runs it, or ran it last (empty while it is queued); ``attempt`` counts how often it was started;
    ``sequence`` is the newest event of its log; ``gate`` is the key of its concurrency policy (empty: none);
    ``start_time`` is when its run began, 0 if it has not yet or did when it was created.
    """

    key: RequestKey
    session: SessionKey
    session_log_id: str
    log_id: str
    user_id: str
    fingerprint: str
    process: str
    status: RequestStatus
    create_time: Micros
    cancel_requested: bool = False
    cancel_reason: str = ""
    attempt: int = 1
    sequence: int = 0
    end_time: Micros = Micros(0)
    gate: str = ""
    start_time: Micros = Micros(0)


def removed_head(head: RequestHead, time: Micros) -> RequestHead:
    """What is left of a request that is removed: its id, from ``time`` on."""
    return replace(
        head,
        status=RequestStatus.REMOVED,
        end_time=time,
        cancel_requested=False,
        cancel_reason="",
    )


@frozen
class RequestRecord:
    """A whole request. ``input`` and ``output`` are JSON text; ``output`` is there once it is completed.

    ``scopes`` are the session, user and org records it works on, as far as there are any; its terminal event names
    their versions. ``timeout``, 0 for none, bounds its run; ``trace`` and ``correlation_id`` are those of the call that
    made it. ``reason`` is why it was aborted or interrupted.
    """

    head: RequestHead
    flow_kind: str
    action: str
    org_id: str
    scopes: tuple[ScopeKey, ...]
    input: bytes
    timeout: Micros = Micros(0)
    trace: str = ""
    correlation_id: str = ""
    output: bytes | None = None
    failure: Failure | None = None
    reason: str = ""

    @property
    def key(self) -> RequestKey:
        return self.head.key

    @property
    def size(self) -> int:
        """Bytes that count for the size of a page."""
        return len(self.input) + len(self.output or b"")

    def log_ids(self) -> Mapping[str, str]:
        return {
            "request_id": self.key.request_id,
            "session_id": self.head.session.session_id,
            "user_id": self.head.user_id,
            "org_id": self.org_id,
            "tenant": self.key.tenant,
            "flow_kind": self.flow_kind,
            "action": self.action,
            "correlation_id": self.correlation_id,
        }


def moved_on(
    record: RequestRecord,
    head: RequestHead,
    *,
    output: bytes | None = None,
    failure: Failure | None = None,
    reason: str = "",
) -> RequestRecord:
    """``record`` with the head that a write has left, and what it came to. Every run does this twice, and ``replace``
    takes three times as long."""
    return RequestRecord(
        head,
        record.flow_kind,
        record.action,
        record.org_id,
        record.scopes,
        record.input,
        record.timeout,
        record.trace,
        record.correlation_id,
        output,
        failure,
        reason,
    )


@frozen
class Outcome:
    """What a request came to: ``output`` if it completed, ``failure`` if it failed, ``reason`` if it was stopped."""

    key: RequestKey
    output: bytes | None = None
    failure: Failure | None = None
    reason: str = ""


def whole_request(record: RequestRecord, head: RequestHead, outcome: Outcome | None) -> RequestRecord:
    """The request as reads give it: with its present head and, once it has ended, with its outcome."""
    if outcome is None:
        return replace(record, head=head)
    return replace(record, head=head, output=outcome.output, failure=outcome.failure, reason=outcome.reason)


class TurnKey(NamedTuple):
    """``number`` counts from 1 in the session's incarnation ``log_id``."""

    session: SessionKey
    log_id: str
    number: int


@frozen
class TurnRecord:
    """A turn of a session's history: a completed request, or items appended from outside.

    Of the latter ``request_id`` is empty, and the items are those whose events lie from ``first`` to ``last`` in the
    session's log.
    """

    key: TurnKey
    request_id: str
    first: int = 0
    last: int = 0


Generations = tuple[tuple[str, int], ...]
"""By flow kind, sorted: the generation of the flow's schema that last wrote a record."""


@frozen
class StateRecord:
    """A scope's state at one version, as JSON text. A record never written has version 0 and does not exist.

    A deleted record is kept as a tombstone (``exists`` false, ``{}``) whose version a re-created record continues;
    ``incarnation`` is new with each creation. ``generations`` and ``schema_hash`` tell by which schemas it
    was written last.
    """

    key: ScopeKey
    version: int = 0
    incarnation: str = ""
    exists: bool = False
    text: bytes = EMPTY_OBJECT
    create_time: Micros = Micros(0)
    update_time: Micros = Micros(0)
    generations: Generations = ()
    schema_hash: str = ""
    parts: StateParts | None = field(default=None, init=False, repr=False, compare=False)
    """How a large state is kept, if it is in parts: then ``text`` is written out when somebody asks for it."""
    fitting: Fitting | None = field(default=None, init=False, repr=False, compare=False)
    _state: JsonObject | None = field(default=None, init=False, repr=False, compare=False)
    _layers: LayeredState | None = field(default=None, init=False, repr=False, compare=False)

    if not TYPE_CHECKING:  # or any name would be one that it has

        def __getattr__(self, name: str) -> bytes:
            if name != "text":
                raise AttributeError(name)
            self.text = text = encode_json(self.state)
            return text

    @property
    def state(self) -> JsonObject:
        """The parsed ``text``, parsed once. Never modify it: others hold the same value.

        Raises:
            ValueError: it was damaged in its store; names the record.
        """
        state = self._state
        if state is None:
            try:
                if self._layers is not None:
                    state = self._layers.state
                else:
                    state = self.parts.state if self.parts else cast(JsonObject, decode_json(self.text))
            except ValueError as error:
                raise ValueError(f"the text of {self.key} can't be understood") from error
            object.__setattr__(self, "_state", state)
        return state

    @property
    def layers(self) -> LayeredState:
        """The state in layers, so that not all of it is made for each change."""
        return self._layers if self._state is None and self._layers else LayeredState(self.state, {})

    @property
    def size(self) -> int:
        """Bytes that count for the size of a page: those of the text."""
        return len(self.text) if self.parts is None else self.parts.size


@frozen
class StateHead:
    """A state record without its document."""

    key: ScopeKey
    version: int = 0
    incarnation: str = ""
    exists: bool = False


@frozen
class ProcessRecord:
    """A server process and its lease: it expires ``lease`` after ``renew_time``, both by the store's time.

    An expired process may still renew; a fenced one never again.
    """

    process: str
    lease: Micros
    renew_time: Micros
    fenced: bool = False

    @property
    def expire_time(self) -> Micros:
        return Micros(self.renew_time + self.lease)


IDEMPOTENCY_KEY = "idempotency_key"
"""The kind of the documents that remember calls."""


@frozen
class IdempotencyKey:
    """Names one logical call of one caller: the same key from another tenant, principal or method is another call."""

    tenant: Tenant
    principal: str
    method: str
    key: str

    _document: DocumentKey | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def document(self) -> DocumentKey:
        """The key of the document that remembers the call."""
        document = self._document
        if document is None:
            name = (self.tenant, self.principal, self.method, self.key)
            document = DocumentKey(STORE_OWNER, IDEMPOTENCY_KEY, name)
            object.__setattr__(self, "_document", document)
        return document
