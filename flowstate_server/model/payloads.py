"""What events of each type say: the only place that builds and reads their payloads.

One class for each type, whose fields are the members of its JSON object. ``item.done`` has one for transient items;
else the event carries its item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, ClassVar, Self

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind

Members = Mapping[str, Any]
ScopeVersions = Mapping[ScopeKind, int]
Readers = Mapping[str, Callable[[Any], Any]]


class Payload:
    """What one type of event says. ``decode`` reads what ``encode`` wrote."""

    __slots__: tuple[str, ...] = ()

    type: ClassVar[EventType]
    readers: ClassVar[Readers] = {}
    """What reads the members that are no plain values, by their names."""

    def members(self) -> dict[str, Any]:
        """The members of its JSON object, which may share values with the payload."""
        return {name: getattr(self, name) for name in self.__slots__}

    def encode(self) -> bytes:
        return encode_json(self.members())

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Members that are not known are passed over: a later version may have written them."""
        members: Any = decode_json(text)
        if cls.readers:
            for name, read in cls.readers.items():
                if name in members:
                    members[name] = read(members[name])
        try:
            return cls(**members)
        except TypeError:
            return cls(**{name: members[name] for name in cls.__slots__ if name in members})


def _read_failure(members: Members) -> Failure:
    return Failure(**members)


def _read_item(members: Members) -> Item:
    return Item(
        members["item_id"],
        ItemKind(members["kind"]),
        members["index"],
        b"",
        members["role"],
        members["name"],
        frozenset(map(Audience, members["audiences"])),
    )


def _read_whole_item(members: Members) -> Item:
    return replace(_read_item(members), content=encode_json(members["content"]))


def _read_versions(members: Members) -> ScopeVersions:
    return {ScopeKind(scope): version for scope, version in members.items()}


@frozen
class RequestCreated(Payload):
    type = EventType.REQUEST_CREATED
    flow_kind: str
    action: str


@frozen
class RequestQueued(Payload):
    """``ahead`` are the requests before it, the running one included; ``expire_time`` is until when it waits."""

    type = EventType.REQUEST_QUEUED
    ahead: int
    expire_time: Micros


@frozen
class RequestInProgress(Payload):
    type = EventType.REQUEST_IN_PROGRESS
    attempt: int


class Terminal(Payload):
    """What ends a request. ``members`` lacks the ``scope_versions``: the commit that ends the request knows them."""

    __slots__: tuple[str, ...] = ()

    readers: ClassVar[Readers] = {"scope_versions": _read_versions}
    scope_versions: ScopeVersions

    def members(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "scope_versions"}

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


@frozen
class RequestFailed(Terminal):
    type = EventType.REQUEST_FAILED
    readers: ClassVar[Readers] = {"failure": _read_failure, "scope_versions": _read_versions}
    failure: Failure
    elapsed: Micros
    scope_versions: ScopeVersions = field(default_factory=dict)


@frozen
class RequestAborted(Terminal):
    type = EventType.REQUEST_ABORTED
    reason: str
    scope_versions: ScopeVersions = field(default_factory=dict)


@frozen
class RequestInterrupted(Terminal):
    type = EventType.REQUEST_INTERRUPTED
    reason: str
    scope_versions: ScopeVersions = field(default_factory=dict)


@frozen
class BlockStarted(Payload):
    type = EventType.BLOCK_STARTED
    kind: str


@frozen
class BlockCompleted(Payload):
    type = EventType.BLOCK_COMPLETED
    elapsed: Micros


@frozen
class BlockFailed(Payload):
    type = EventType.BLOCK_FAILED
    readers: ClassVar[Readers] = {"failure": _read_failure}
    failure: Failure


@frozen
class RouterDecided(Payload):
    type = EventType.ROUTER_DECIDED
    route: str


@frozen
class ModelUsage(Payload):
    """What one call of a language model used; ``output_tokens`` include those of its reasoning."""

    type = EventType.MODEL_USAGE
    provider: str
    model: str
    input_tokens: int
    output_tokens: int


@frozen
class ItemAdded(Payload):
    """``item`` is without its content."""

    type = EventType.ITEM_ADDED
    readers: ClassVar[Readers] = {"item": _read_item}
    item: Item

    def members(self) -> dict[str, Any]:
        item = self.item
        described = {
            "item_id": item.item_id,
            "kind": item.kind,
            "index": item.index,
            "role": item.role,
            "name": item.name,
            "audiences": sorted(item.audiences),
        }
        return {"item": described}


@frozen
class ItemDone(Payload):
    """Of a transient item, which is kept nowhere else: ``item`` is with its content."""

    type = EventType.ITEM_DONE
    readers: ClassVar[Readers] = {"item": _read_whole_item}
    item: Item

    def members(self) -> dict[str, Any]:
        described = ItemAdded(self.item).members()["item"]
        return {"item": {**described, "content": decode_json(self.item.content)}}


@frozen
class ItemDelta(Payload):
    """``index`` is that of the first delta merged into this one."""

    type = EventType.ITEM_DELTA
    item_id: str
    index: int
    text: str

    def members(self) -> dict[str, Any]:
        # Written out, as in Custom: half the time of the loop over the fields, for every token.
        return {"item_id": self.item_id, "index": self.index, "text": self.text}

    @classmethod
    def decode(cls, text: bytes) -> Self:
        members: Any = decode_json(text)
        return cls(members["item_id"], members["index"], members["text"])


@frozen
class ItemRemoved(Payload):
    type = EventType.ITEM_REMOVED
    item_id: str


@frozen
class StateChange(Payload):
    """``changed`` has the new values by JSON Pointer, ``stale`` the names of fields that changed by too much to be
    listed. ``declared`` has for each field of ``changed`` and ``removed`` how its writer declared it. ``owner_path`` is
    the execution that has the state, of scope block."""

    type = EventType.STATE_CHANGE
    readers: ClassVar[Readers] = {"scope": ScopeKind}
    scope: ScopeKind
    previous_version: int
    version: int
    changed: Mapping[str, Json]
    removed: Sequence[str]
    stale: Sequence[str]
    declared: Mapping[str, str] = field(default_factory=dict)
    owner_path: Sequence[str] = ()

    def members(self) -> dict[str, Any]:
        members = {
            "scope": self.scope,
            "previous_version": self.previous_version,
            "version": self.version,
            "changed": self.changed,
            "removed": self.removed,
            "stale": self.stale,
            "declared": self.declared,
        }
        return {**members, "owner_path": self.owner_path} if self.owner_path else members


@frozen
class ResourceChange(Payload):
    """As :class:`StateChange`, of a resource: of its state the places that changed, of its content only that it did.

    ``schema`` is the hash of the schema of its state by which it was written. ``stale_derived`` are names of the scope,
    for clients alone.
    """

    type = EventType.RESOURCE_CHANGE
    readers: ClassVar[Readers] = {"scope": ScopeKind}
    scope: ScopeKind
    name: str
    previous_version: int
    version: int
    changed: Mapping[str, Json] = field(default_factory=dict)
    removed: Sequence[str] = ()
    stale: Sequence[str] = ()
    deleted: bool = False
    content_changed: bool = False
    schema: str = ""
    stale_derived: Sequence[str] = ()


@frozen
class SessionMetadataChanged(Payload):
    type = EventType.SESSION_METADATA_CHANGED
    paths: Sequence[str]
    version: int


@frozen
class Status(Payload):
    """``progress``, if there is any, is 0 to 1."""

    type = EventType.STATUS
    text: str
    progress: float | None = None


@frozen
class Custom(Payload):
    type = EventType.CUSTOM
    name: str
    data: Json = None

    def members(self) -> dict[str, Any]:
        return {"name": self.name, "data": self.data}

    @classmethod
    def decode(cls, text: bytes) -> Self:
        members: Any = decode_json(text)
        return cls(members["name"], members.get("data"))


def done_item(event: Event) -> Item:
    """The item of an ``item.done``, with its content."""
    return ItemDone.decode(event.payload).item if event.item is None else event.item


def encode_terminal(members: Members, versions: ScopeVersions) -> bytes:
    """The text of a :class:`Terminal` with these members and versions."""
    return encode_json({**members, "scope_versions": {scope.value: n for scope, n in versions.items()}})


REMOVED_TEXT = "removed with the items of the request"
"""The message of a failure whose own has gone."""


def without_text(failure: Failure) -> Failure:
    """The failure without what it says for people; that may repeat anything."""
    return replace(failure, message=REMOVED_TEXT, details={})


def without_failure_text(payload: bytes) -> bytes:
    """The text of a :class:`RequestFailed` or :class:`BlockFailed` that tells no more than the code."""
    members: Any = decode_json(payload)
    members["failure"] = {**members["failure"], "message": REMOVED_TEXT, "details": {}}
    return encode_json(members)


def without_name(payload: bytes) -> bytes:
    """The text of an :class:`ItemAdded` whose item was removed."""
    members: Any = decode_json(payload)
    members["item"] = {**members["item"], "name": ""}
    return encode_json(members)


def without_output(payload: bytes) -> bytes:
    """The text of a :class:`RequestCompleted` that says no more what came out."""
    members: Any = decode_json(payload)
    members.pop("output", None)
    return encode_json({**members, "output_omitted": True})
