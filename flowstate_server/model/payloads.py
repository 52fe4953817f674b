"""What events of each type say: the only place that builds and reads their payloads.

One class for each type, with the members of its JSON object. ``item.done`` has none: the event carries its item.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar, Self, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind

Members = Mapping[str, Any]
ScopeVersions = Mapping[ScopeKind, int]


class Payload(ABC):
    """What one type of event says. ``decode`` reads what ``encode`` wrote."""

    __slots__ = ()

    type: ClassVar[EventType]

    @abstractmethod
    def members(self) -> dict[str, Any]:
        """The members of its JSON object, which may share values with the payload."""

    @classmethod
    @abstractmethod
    def read(cls, members: Members) -> Self:
        """The payload of which :meth:`members` gave these."""

    def encode(self) -> bytes:
        return encode_json(self.members())

    @classmethod
    def decode(cls, text: bytes) -> Self:
        return cls.read(cast(Members, decode_json(text)))


@frozen
class RequestCreated(Payload):
    type = EventType.REQUEST_CREATED
    flow_kind: str
    action: str

    def members(self) -> dict[str, Any]:
        return {"flow_kind": self.flow_kind, "action": self.action}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["flow_kind"], members["action"])


@frozen
class RequestInProgress(Payload):
    type = EventType.REQUEST_IN_PROGRESS
    attempt: int

    def members(self) -> dict[str, Any]:
        return {"attempt": self.attempt}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["attempt"])


class Terminal(Payload):
    """What ends a request. ``members`` lacks the ``scope_versions``: the commit that ends the request knows them."""

    __slots__ = ()

    scope_versions: ScopeVersions

    def encode(self) -> bytes:
        return encode_terminal(self.members(), self.scope_versions)


@frozen
class RequestCompleted(Terminal):
    """``output`` is left out if it is large (``output_omitted``): the request has it."""

    type = EventType.REQUEST_COMPLETED
    elapsed: Micros
    output: Json = None
    output_omitted: bool = False
    scope_versions: ScopeVersions = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        outcome = {"output_omitted": True} if self.output_omitted else {"output": self.output}
        return {"elapsed": self.elapsed, **outcome}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            members["elapsed"],
            members.get("output"),
            members.get("output_omitted", False),
            _read_versions(members),
        )


@frozen
class RequestFailed(Terminal):
    type = EventType.REQUEST_FAILED
    failure: Failure
    elapsed: Micros
    scope_versions: ScopeVersions = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        return {"failure": failure_members(self.failure), "elapsed": self.elapsed}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(_read_failure(members), members["elapsed"], _read_versions(members))


@frozen
class RequestAborted(Terminal):
    type = EventType.REQUEST_ABORTED
    reason: str
    scope_versions: ScopeVersions = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        return {"reason": self.reason}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["reason"], _read_versions(members))


@frozen
class RequestInterrupted(Terminal):
    type = EventType.REQUEST_INTERRUPTED
    reason: str
    scope_versions: ScopeVersions = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        return {"reason": self.reason}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["reason"], _read_versions(members))


@frozen
class BlockStarted(Payload):
    type = EventType.BLOCK_STARTED
    kind: str

    def members(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["kind"])


@frozen
class BlockCompleted(Payload):
    type = EventType.BLOCK_COMPLETED
    elapsed: Micros

    def members(self) -> dict[str, Any]:
        return {"elapsed": self.elapsed}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["elapsed"])


@frozen
class BlockFailed(Payload):
    type = EventType.BLOCK_FAILED
    failure: Failure

    def members(self) -> dict[str, Any]:
        return {"failure": failure_members(self.failure)}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(_read_failure(members))


@frozen
class ItemAdded(Payload):
    """``item`` is without its content."""

    type = EventType.ITEM_ADDED
    item: Item

    def members(self) -> dict[str, Any]:
        item = self.item
        described = {
            "item_id": item.item_id,
            "kind": item.kind.value,
            "index": item.index,
            "role": item.role,
            "name": item.name,
            "audiences": sorted(audience.value for audience in item.audiences),
        }
        return {"item": described}

    @classmethod
    def read(cls, members: Members) -> Self:
        item = members["item"]
        return cls(
            Item(
                item["item_id"],
                ItemKind(item["kind"]),
                item["index"],
                b"",
                item["role"],
                item["name"],
                frozenset(map(Audience, item["audiences"])),
            )
        )


@frozen
class ItemDelta(Payload):
    """``index`` is that of the first delta merged into this one."""

    type = EventType.ITEM_DELTA
    item_id: str
    index: int
    text: str

    def members(self) -> dict[str, Any]:
        return {"item_id": self.item_id, "index": self.index, "text": self.text}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["item_id"], members["index"], members["text"])


@frozen
class StateChange(Payload):
    """``changed`` has the new values by JSON Pointer, ``stale`` the names of fields that changed by
    too much to be listed."""

    type = EventType.STATE_CHANGE
    scope: ScopeKind
    previous_version: int
    version: int
    changed: Mapping[str, Json]
    removed: Sequence[str]
    stale: Sequence[str]

    def members(self) -> dict[str, Any]:
        return {
            "scope": self.scope.value,
            "previous_version": self.previous_version,
            "version": self.version,
            "changed": self.changed,
            "removed": self.removed,
            "stale": self.stale,
        }

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            ScopeKind(members["scope"]),
            members["previous_version"],
            members["version"],
            members["changed"],
            members["removed"],
            members["stale"],
        )


@frozen
class SessionMetadataChanged(Payload):
    type = EventType.SESSION_METADATA_CHANGED
    paths: Sequence[str]
    version: int

    def members(self) -> dict[str, Any]:
        return {"paths": self.paths, "version": self.version}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["paths"], members["version"])


@frozen
class Status(Payload):
    """``progress``, if there is any, is 0 to 1."""

    type = EventType.STATUS
    text: str
    progress: float | None = None

    def members(self) -> dict[str, Any]:
        return (
            {"text": self.text} if self.progress is None else {"text": self.text, "progress": self.progress}
        )

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["text"], members.get("progress"))


@frozen
class Custom(Payload):
    type = EventType.CUSTOM
    name: str
    data: Json

    def members(self) -> dict[str, Any]:
        return {"name": self.name, "data": self.data}

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(members["name"], members.get("data"))


def encode_terminal(members: Members, versions: ScopeVersions) -> bytes:
    """The text of a :class:`Terminal` with these members and versions."""
    return encode_json({**members, "scope_versions": {scope.value: n for scope, n in versions.items()}})


def failure_members(failure: Failure) -> JsonObject:
    return {
        "reason": failure.reason,
        "message": failure.message,
        "details": failure.details,
        "error_id": failure.error_id,
        "retryable": failure.retryable,
    }


def _read_failure(members: Members) -> Failure:
    return Failure(**members["failure"])


def _read_versions(members: Members) -> ScopeVersions:
    return {ScopeKind(scope): version for scope, version in members.get("scope_versions", {}).items()}
