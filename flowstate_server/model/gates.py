"""Gates: what lets one request of an action run at a time, and who waits at it.

A gate is a document that is there as long as somebody has it. Whoever was let in by a hand-over and is run by nobody
yet has a *turn* besides, a document of the flow, so that servers which have it need not look at every gate.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import (
    STORE_OWNER,
    Document,
    DocumentKey,
    DocumentRange,
    Name,
    flow_owner,
    ordered,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import RequestKey
from flowstate_server.model.word import Word

GATE = "gate"
"""The kind of the document that says who has a gate and who waits at it."""
TURN = "turn"
"""The kind of the documents that name queued requests which may begin."""
PATIENCE = "patience"
"""The kind of the documents that say until when a queued request waits."""


class Policy(Word):
    """What becomes of a request whose gate somebody has."""

    REJECT = "reject"
    QUEUE = "queue"
    INTERRUPT = "interrupt"


class Waiting(NamedTuple):
    """A request that waits at a gate, and until when."""

    request_id: str
    expire_time: Micros


@frozen
class Gate:
    """Who has a gate, and who waits at it, the first to come first. All are requests of the gate's tenant."""

    holder: str
    waiting: tuple[Waiting, ...] = ()

    def without(self, *request_ids: str) -> Gate:
        gone = frozenset(request_ids)
        return Gate(self.holder, tuple([one for one in self.waiting if one.request_id not in gone]))


@frozen
class Turn:
    """A queued request that may begin, if it does before ``expire_time``."""

    request: RequestKey
    expire_time: Micros


def gate_text(flow_kind: str, group: str, kind: str, key: str) -> str:
    """What names a gate within a tenant, as requests keep it."""
    return encode_json([flow_kind, group, kind, key]).decode()


def gate_key(tenant: Tenant, gate: str) -> DocumentKey:
    return DocumentKey(STORE_OWNER, GATE, (tenant, gate))


def turn_key(request: RequestKey, gate: str) -> DocumentKey:
    flow_kind, *_ = cast("list[str]", decode_json(gate.encode()))
    return DocumentKey(flow_owner(flow_kind), TURN, tuple(request))


def turns_of(flow_kind: str, *, limit: int, beyond: Name | None = None) -> DocumentRange:
    return DocumentRange(flow_owner(flow_kind), TURN, limit, beyond=beyond)


def patience_key(request: RequestKey, expire_time: Micros) -> DocumentKey:
    return DocumentKey(STORE_OWNER, PATIENCE, (ordered(expire_time), *request))


def patience_range(*, limit: int) -> DocumentRange:
    """Whoever has to have begun first comes first."""
    return DocumentRange(STORE_OWNER, PATIENCE, limit)


def waiting_until(key: DocumentKey) -> Turn:
    """Who waits, and until when, by the key of a patience."""
    time, tenant, request_id = key.name
    return Turn(RequestKey(Tenant(tenant), request_id), Micros(int(time, 16)))


def encode_gate(gate: Gate) -> bytes:
    return encode_json([gate.holder, [list(one) for one in gate.waiting]])


def decode_gate(document: Document | None) -> Gate | None:
    """``None`` for one that nobody has."""
    if document is None:
        return None
    holder, waiting = cast("tuple[str, list[tuple[str, int]]]", decode_json(document.text))
    return Gate(holder, tuple([Waiting(request_id, Micros(time)) for request_id, time in waiting]))


def encode_turn(turn: Turn) -> bytes:
    return encode_json(turn.expire_time)


def decode_turn(document: Document) -> Turn:
    tenant, request_id = document.key.name
    return Turn(RequestKey(Tenant(tenant), request_id), Micros(cast(int, decode_json(document.text))))
