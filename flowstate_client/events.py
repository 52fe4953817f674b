"""Typed events of a run, made for ``match``::

async for event in run.events():
    match event:
        case ItemDelta(text=text):
            print(text, end="")
        case StateChange(scope=Scope.SESSION, changed=changed):
            ...
        case RequestCompleted(output=output):
            ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flowstate.v1 import events_pb2
from flowstate_client.models import Cursor, Failure, Item, Scope, plain_time, plain_value, seconds
from flowstate_client.snapshots import Snapshot

_NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share.

    Attributes:
        sequence: Position in the request's log: 1, 2, 3, ... with holes where events are not for this caller; 0 outside
            a request.
        request_id, session_id: Where it belongs.
        time: When it was emitted, by the server's clock. Order by ``sequence``.
        type: Stable dotted name, for example ``item.delta``.
        cursor: Hand it to where the event came from, ``run.events(after=...)`` or ``client.sessions.events(id,
            after=...)``, to go on behind it.
        event_id: The same on every read.
        session_sequence: Position in the session's log.
        block_path: Names of the blocks around it; empty on the client plane.
        transient: Whether the server forgets it some time after the request ended.
    """

    sequence: int = 0
    request_id: str = ""
    session_id: str = ""
    time: datetime = _NO_TIME
    type: str = ""
    cursor: Cursor = field(default_factory=Cursor)
    event_id: str = ""
    session_sequence: int = 0
    block_path: tuple[str, ...] = ()
    transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCreated(Event):
    """Stored, not yet running."""

    flow_kind: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQueued(Event):
    """It waits for its turn, with ``ahead`` others ahead of it, until ``expire_time`` at most."""

    ahead: int = 0
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInProgress(Event):
    """The run has begun."""

    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalEvent(Event):
    """The run has ended; nothing follows.

    ``scope_versions`` has the versions of the request's session, user and org record as of its end.
    """

    scope_versions: Mapping[Scope, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCompleted(TerminalEvent):
    """Ended with an output. If ``output_omitted`` it was too large for the event: use ``run.result()``, which gives
    ``None`` where it was removed with the items of its turn."""

    output: Any = None
    output_omitted: bool = False
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(TerminalEvent):
    """Ended with a failure, a timeout included."""

    failure: Failure = field(default_factory=lambda: Failure(reason=""))
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAborted(TerminalEvent):
    """Ended by a cancel, with its session, or by a newer request; it may not have begun."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInterrupted(TerminalEvent):
    """Its server process is gone; whether the work was done is unknown."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStarted(Event):
    """A block begins; trusted plane only."""

    block_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCompleted(Event):
    """A block has ended; trusted plane only."""

    elapsed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFailed(Event):
    """A block has failed; trusted plane only."""

    failure: Failure = field(default_factory=lambda: Failure(reason=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterDecided(Event):
    """Which way a router goes; trusted plane only."""

    route: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage(Event):
    """What one call of a language model used; trusted plane only."""

    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAdded(Event):
    """An item begins; its content is ``None`` if deltas follow."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDelta(Event):
    """A piece of a streamed item: the ``index``-th of it, ``text`` to append or a structured ``value``."""

    item_id: str = ""
    index: int = 0
    text: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDone(Event):
    """An item is complete."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRemoved(Event):
    """The content of an item is gone; what is shown of it should go too."""

    item_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange(Event):
    """One committed write to one state record, or a change of the state of the block at ``owner_path``.

    Apply ``removed`` first, then set each value of ``changed`` at its JSON Pointer; names in ``stale`` may have
    changed too, read them with a snapshot. If what you hold is older than ``previous_version`` you missed something.
    """

    scope: Scope = Scope.UNKNOWN
    previous_version: int = 0
    version: int = 0
    changed: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    owner_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange(Event):
    """A resource was written or deleted; its state changed as in :class:`StateChange`.

    ``stale_derived`` are names of the scope's snapshot that may have changed with it.
    """

    scope: Scope = Scope.UNKNOWN
    name: str = ""
    previous_version: int = 0
    version: int = 0
    deleted: bool = False
    changed: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    stale_derived: tuple[str, ...] = ()
    content_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetadataChanged(Event):
    """Fields of the session changed: some of title, description, tags, metadata."""

    paths: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate(Event):
    """A word on progress, for people; ``progress`` is 0 to 1 or ``None``."""

    text: str = ""
    progress: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEvent(Event):
    """The flow's own event."""

    name: str = ""
    data: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed(Event):
    """Events are missing: the lowest is ``first``, the highest ``last``. Transient ones were swept before this reader
    came; or they are changes of state or resources, and the server does not have the flow, as during a deploy.

    Not an event of the log: it comes ahead of the first batch that lacks some, which may begin with older events, and
    has no sequence, time or event id; ``session_id`` is empty if it could not be found out. All other events are there:
    ``snapshot`` is what the flow shows of the session with what is missing in it (``None`` if that failed; take one
    yourself).
    """

    first: int = 0
    last: int = 0
    snapshot: Snapshot[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """An event of a newer server; ``raw`` is the ``flowstate.v1.Event`` as bytes."""

    raw: bytes = b""


def event_from_proto(event: events_pb2.Event, log_id: str, *, of_session: bool = False) -> Event:
    """The typed event of a request's or a session's log; what this client does not know becomes an
    :class:`UnknownEvent`."""
    shared: dict[str, Any] = {
        "sequence": event.sequence,
        "request_id": event.request_id,
        "session_id": event.session_id,
        "time": event.time.ToDatetime(UTC),
        "type": event.type,
        "cursor": Cursor(log_id, event.session_sequence if of_session else event.sequence),
        "event_id": event.event_id,
        "session_sequence": event.session_sequence,
        "block_path": tuple(event.block_path),
        "transient": event.transient,
    }
    case = event.WhichOneof("payload")
    if case is None or case not in PAYLOADS:
        return UnknownEvent(**shared, raw=event.SerializeToString())
    cls, fields = PAYLOADS[case]
    return cls(**shared, **fields(getattr(event, case)))


def _versions(versions: Iterable[events_pb2.ScopeVersion]) -> dict[Scope, int]:
    return {Scope.from_proto(version.scope): version.version for version in versions}


def _stopped(payload: events_pb2.RequestAborted | events_pb2.RequestInterrupted) -> dict[str, Any]:
    return {"reason": payload.reason, "scope_versions": _versions(payload.scope_versions)}


def _changes(payload: events_pb2.StateChange | events_pb2.ResourceChange) -> dict[str, Any]:
    return {
        "scope": Scope.from_proto(payload.scope),
        "previous_version": payload.previous_version,
        "version": payload.version,
        "changed": {pointer: plain_value(value) for pointer, value in payload.changed.items()},
        "removed": tuple(payload.removed),
        "stale": tuple(payload.stale),
    }


PAYLOADS: Mapping[str, tuple[type[Event], Callable[[Any], dict[str, Any]]]] = {
    "request_created": (RequestCreated, lambda p: {"flow_kind": p.flow_kind, "action": p.action}),
    "request_queued": (
        RequestQueued,
        lambda p: {"ahead": p.ahead, "expire_time": plain_time(p, "expire_time")},
    ),
    "request_in_progress": (RequestInProgress, lambda p: {"attempt": p.attempt}),
    "request_completed": (
        RequestCompleted,
        lambda p: {
            "output": plain_value(p.output),
            "output_omitted": p.output_omitted,
            "elapsed": seconds(p.elapsed),
            "scope_versions": _versions(p.scope_versions),
        },
    ),
    "request_failed": (
        RequestFailed,
        lambda p: {
            "failure": Failure.from_proto(p.failure),
            "elapsed": seconds(p.elapsed),
            "scope_versions": _versions(p.scope_versions),
        },
    ),
    "request_aborted": (RequestAborted, _stopped),
    "request_interrupted": (RequestInterrupted, _stopped),
    "block_started": (BlockStarted, lambda p: {"block_kind": p.block_kind}),
    "block_completed": (BlockCompleted, lambda p: {"elapsed": seconds(p.elapsed)}),
    "block_failed": (BlockFailed, lambda p: {"failure": Failure.from_proto(p.failure)}),
    "router_decided": (RouterDecided, lambda p: {"route": p.route}),
    "model_usage": (
        ModelUsage,
        lambda p: {
            "provider": p.provider,
            "model": p.model,
            "input_tokens": p.input_tokens,
            "output_tokens": p.output_tokens,
        },
    ),
    "item_added": (ItemAdded, lambda p: {"item": Item.from_proto(p.item)}),
    "item_delta": (
        ItemDelta,
        lambda p: {"item_id": p.item_id, "index": p.index, "text": p.text, "value": plain_value(p.value)},
    ),
    "item_done": (ItemDone, lambda p: {"item": Item.from_proto(p.item)}),
    "item_removed": (ItemRemoved, lambda p: {"item_id": p.item_id}),
    "state_change": (StateChange, lambda p: {**_changes(p), "owner_path": tuple(p.owner_path)}),
    "resource_change": (
        ResourceChange,
        lambda p: {
            **_changes(p),
            "name": p.name,
            "deleted": p.deleted,
            "stale_derived": tuple(p.stale_derived),
            "content_changed": p.content_changed,
        },
    ),
    "session_metadata_changed": (
        SessionMetadataChanged,
        lambda p: {"paths": tuple(p.paths), "version": p.version},
    ),
    "status_update": (
        StatusUpdate,
        lambda p: {"text": p.text, "progress": p.progress if p.HasField("progress") else None},
    ),
    "custom": (CustomEvent, lambda p: {"name": p.name, "data": plain_value(p.data)}),
}
"""For each payload case of ``flowstate.v1.Event``: the class, and its fields of the payload."""
