"""Small documents: the one form in which every kind of record is kept that has no table of its own.

A new kind is a value that is written as JSON text under a :class:`DocumentKey`. Stores keep documents of kinds that
they have never heard of, so adding one changes no adapter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.model.word import Word

Name = tuple[str, ...]
"""A document's name among those of its kind and owner: texts, ordered by code point, part by part."""


class OwnerKind(Word):
    SESSION = "session"
    REQUEST = "request"
    USER = "user"
    ORG = "org"
    FLOW = "flow"
    STORE = "store"


class Owner(NamedTuple):
    """What a document belongs to. Make it with the functions below: they fill the parts that an owner does not use.

    ``incarnation`` is a session's ``log_id`` or that of a user's or org's state record, so that what is made anew under
    the same id begins without the documents of the old; empty where the owner is not made anew, or need not exist.
    """

    kind: OwnerKind
    tenant: Tenant
    id: str
    flow_kind: str = ""
    incarnation: str = ""


def session_owner(session: SessionKey, log_id: str) -> Owner:
    return Owner(OwnerKind.SESSION, session.tenant, session.session_id, incarnation=log_id)


def request_owner(request: RequestKey) -> Owner:
    return Owner(OwnerKind.REQUEST, request.tenant, request.request_id)


def scope_owner(scope: ScopeKey, incarnation: str = "") -> Owner:
    """The user or org of a state record, isolated or not."""
    kind = {ScopeKind.USER: OwnerKind.USER, ScopeKind.ORG: OwnerKind.ORG}[scope.kind]
    return Owner(kind, scope.tenant, scope.id, scope.flow_kind, incarnation)


def flow_owner(flow_kind: str) -> Owner:
    return Owner(OwnerKind.FLOW, NO_TENANT, flow_kind)


STORE_OWNER = Owner(OwnerKind.STORE, NO_TENANT, "")


class DocumentKey(NamedTuple):
    """``kind`` is a word of ours, never a caller's."""

    owner: Owner
    kind: str
    name: Name


@frozen
class Document:
    """A document at one version, or the tombstone of one (``present`` false, no text).

    ``version`` grows by 1 with each write and goes on over tombstones; ``incarnation`` is a new random text for each
    creation. One whose ``expire_time`` is over counts as not there, and is swept; 0: it never expires. ``text`` is
    JSON.
    """

    key: DocumentKey
    version: int
    incarnation: str
    text: bytes
    create_time: Micros
    update_time: Micros
    expire_time: Micros = Micros(0)
    present: bool = True

    @property
    def size(self) -> int:
        """Bytes that count for the size of a page."""
        return len(self.text)

    def exists(self, time: Micros) -> bool:
        return self.present and not self.expired(time)

    def expired(self, time: Micros) -> bool:
        return 0 < self.expire_time <= time


@frozen
class DocumentRange:
    """Documents of one owner and kind whose names begin with ``prefix``, by name: the first ``limit`` of them, or the
    last ones, newest name first, if ``descending``; from beyond ``beyond`` in that direction if it is given.

    ``begins`` is what the part of the name behind ``prefix`` begins with. Tombstones and expired documents are not
    among them.
    """

    owner: Owner
    kind: str
    limit: int
    prefix: Name = ()
    descending: bool = False
    beyond: Name | None = None
    begins: str = ""

    def covers(self, key: DocumentKey) -> bool:
        """Whether a document of that key would be in the range, were there no ``limit``."""
        if key.owner != self.owner or key.kind != self.kind or key.name[: len(self.prefix)] != self.prefix:
            return False
        if self.begins and not "".join(key.name[len(self.prefix) :][:1]).startswith(self.begins):
            return False
        if self.beyond is None:
            return True
        return key.name < self.beyond if self.descending else key.name > self.beyond


def ordered(number: int) -> str:
    """A number from 0 to 2⁶⁴ - 1 as text that sorts like it, for names."""
    return f"{number:016x}"


@lru_cache(1024)
def encode_key(key: DocumentKey) -> bytes:
    """Bytes that sort like the key, and like nothing else: each text is UTF-8 with U+0000 as ``00 FF``, ended by
    ``00``. Remembered, for a commit asks for it to look, to load and to write."""
    return _encoded((*key.owner, key.kind, *key.name))


def decode_key(encoded: bytes) -> DocumentKey:
    """The key of what :func:`encode_key` gave."""
    owner_kind, tenant, id, flow_kind, incarnation, kind, *name = _decoded(encoded)
    owner = Owner(OwnerKind(owner_kind), Tenant(tenant), id, flow_kind, incarnation)
    return DocumentKey(owner, kind, tuple(name))


def encoded_bounds(which: DocumentRange) -> tuple[bytes, bytes]:
    """The encoded keys of the range: from the first of these on, and before the second."""
    first = _encoded((*which.owner, which.kind, *which.prefix)) + _escaped(which.begins)
    low, high = first, first + b"\xff"
    if which.beyond is not None:
        beyond = _encoded((*which.owner, which.kind, *which.beyond))
        low, high = (low, min(high, beyond)) if which.descending else (max(low, beyond + b"\x00"), high)
    return low, high


def owner_bounds(owner: Owner) -> tuple[bytes, bytes]:
    """As :func:`encoded_bounds`, of all documents of one owner."""
    first = _encoded(owner)
    return first, first + b"\xff"


def _encoded(texts: tuple[str, ...]) -> bytes:
    joined = "\x00".join(texts)
    if joined.count("\x00") == len(texts) - 1:
        return joined.encode() + b"\x00"
    return b"".join([_escaped(text) + b"\x00" for text in texts])


def _escaped(text: str) -> bytes:
    return text.encode().replace(b"\x00", b"\x00\xff")


def _decoded(encoded: bytes) -> list[str]:
    whole = encoded.replace(b"\x00\xff", b"\xff")
    return [part.replace(b"\xff", b"\x00").decode() for part in whole.split(b"\x00")[:-1]]
