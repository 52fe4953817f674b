"""What is kept of user and org records that were deleted: which of them are to be forgotten, and the floor of their
owner, above which the version of what is made anew begins once its tombstone is gone."""

from __future__ import annotations

from typing import cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import (
    STORE_OWNER,
    Document,
    DocumentKey,
    DocumentRange,
    ordered,
    scope_owner,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import ScopeKey, ScopeKind

FLOOR = "version_floor"
DELETED = "deleted_state"
LAST_DELETION = "last_deletion"


def floor_key(scope: ScopeKey) -> DocumentKey:
    """Of the user or org whose record it is: one number, whatever number of flows keep a record of their own."""
    return DocumentKey(scope_owner(ScopeKey(scope.kind, scope.tenant, scope.id)), FLOOR, ("states",))


def floor_in(document: Document | None) -> int:
    return 0 if document is None else cast(int, decode_json(document.text))


def last_deletion_key(scope: ScopeKey) -> DocumentKey:
    """Of a record: the version at which it was deleted last, for as long as its tombstone would be kept."""
    return DocumentKey(scope_owner(scope), LAST_DELETION, ("states",))


def last_deletion_in(document: Document | None) -> int:
    return floor_in(document)


@frozen
class DeletedState:
    """A tombstone that is to be forgotten some time after ``delete_time``."""

    key: ScopeKey
    version: int
    incarnation: str
    delete_time: Micros

    @property
    def document(self) -> DocumentKey:
        kind, _, id, flow_kind = self.key
        return DocumentKey(STORE_OWNER, DELETED, (ordered(self.delete_time), kind, id, flow_kind))

    @property
    def text(self) -> bytes:
        return encode_json([self.version, self.incarnation])


def deleted_states(limit: int) -> DocumentRange:
    """The first to be deleted first."""
    return DocumentRange(STORE_OWNER, DELETED, limit)


def deleted_state(document: Document) -> DeletedState:
    time, kind, id, flow_kind = document.key.name
    version, incarnation = cast("tuple[int, str]", decode_json(document.text))
    key = ScopeKey(ScopeKind(kind), NO_TENANT, id, flow_kind)
    return DeletedState(key, version, incarnation, Micros(int(time, 16)))
