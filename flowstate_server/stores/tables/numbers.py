"""What stores with tables keep for kinds and small values. These numbers are stored: add some, never change one."""

from __future__ import annotations

from typing import Any, cast

from flowstate_server.model.events import EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.records import Failure, Generations, RequestStatus
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.stores.contract.watch import Topic, TopicKind

Row = tuple[Any, ...]

SCOPE_NUMBERS = {ScopeKind.REQUEST: 1, ScopeKind.SESSION: 2, ScopeKind.USER: 3, ScopeKind.ORG: 4}

STATUS_NUMBERS = {
    RequestStatus.IN_PROGRESS: 0,
    RequestStatus.COMPLETED: 1,
    RequestStatus.FAILED: 2,
    RequestStatus.ABORTED: 3,
    RequestStatus.INTERRUPTED: 4,
    RequestStatus.QUEUED: 5,
    RequestStatus.SUSPENDED: 6,
    RequestStatus.REMOVED: 7,
}

EVENT_NUMBERS = {
    EventType.REQUEST_CREATED: 1,
    EventType.REQUEST_IN_PROGRESS: 2,
    EventType.REQUEST_COMPLETED: 3,
    EventType.REQUEST_FAILED: 4,
    EventType.REQUEST_ABORTED: 5,
    EventType.REQUEST_INTERRUPTED: 6,
    EventType.BLOCK_STARTED: 7,
    EventType.BLOCK_COMPLETED: 8,
    EventType.BLOCK_FAILED: 9,
    EventType.ITEM_ADDED: 10,
    EventType.ITEM_DELTA: 11,
    EventType.ITEM_DONE: 12,
    EventType.STATE_CHANGE: 13,
    EventType.SESSION_METADATA_CHANGED: 14,
    EventType.STATUS: 15,
    EventType.CUSTOM: 16,
    EventType.ITEM_REMOVED: 17,
    EventType.ROUTER_DECIDED: 18,
    EventType.REQUEST_QUEUED: 19,
    EventType.RESOURCE_CHANGE: 20,
    EventType.MODEL_USAGE: 21,
}

ITEM_NUMBERS = {
    ItemKind.MESSAGE: 1,
    ItemKind.REASONING: 2,
    ItemKind.TOOL_CALL: 3,
    ItemKind.TOOL_OUTPUT: 4,
    ItemKind.ERROR: 5,
    ItemKind.CUSTOM: 6,
}

TOPIC_NUMBERS = {
    TopicKind.REQUEST: 1,
    TopicKind.SESSION: 2,
    TopicKind.USER: 3,
    TopicKind.ORG: 4,
    TopicKind.PROCESS: 5,
    TopicKind.SESSION_DOCUMENTS: 6,
    TopicKind.USER_DOCUMENTS: 7,
    TopicKind.ORG_DOCUMENTS: 8,
    TopicKind.FLOW_DOCUMENTS: 9,
}

AUDIENCE_BITS = {Audience.CLIENT: 1, Audience.INTERNAL: 2, Audience.HISTORY: 4}

ITEM_DONE = EVENT_NUMBERS[EventType.ITEM_DONE]

STATUSES = {number: status for status, number in STATUS_NUMBERS.items()}
SCOPES = {number: kind for kind, number in SCOPE_NUMBERS.items()}
EVENTS = {number: kind for kind, number in EVENT_NUMBERS.items()}
ITEMS = {number: kind for kind, number in ITEM_NUMBERS.items()}
TOPICS = {number: kind for kind, number in TOPIC_NUMBERS.items()}
AUDIENCES = [
    frozenset(audience for audience, bit in AUDIENCE_BITS.items() if bits & bit) for bits in range(1 << 3)
]
AUDIENCE_SETS = {audiences: bits for bits, audiences in enumerate(AUDIENCES)}


def state_key(key: ScopeKey) -> Row:
    return (SCOPE_NUMBERS[key.kind], key.tenant, key.id, key.flow_kind)


def scope_key(row: Row) -> ScopeKey:
    """From what :func:`state_key` gives."""
    kind, tenant, id, flow_kind = row
    return ScopeKey(SCOPES[kind], tenant, id, flow_kind)


def encode_scopes(scopes: tuple[ScopeKey, ...]) -> bytes:
    return encode_json([[SCOPE_NUMBERS[key.kind], key.tenant, key.id, key.flow_kind] for key in scopes])


def decode_scopes(text: bytes) -> tuple[ScopeKey, ...]:
    keys = cast(list[tuple[int, str, str, str]], decode_json(text))
    return tuple([scope_key(key) for key in keys])


def encode_failure(failure: Failure) -> bytes:
    return encode_json(
        [failure.reason, failure.message, failure.details, failure.error_id, failure.retryable]
    )


def decode_failure(text: bytes) -> Failure:
    return Failure(*cast(list[Any], decode_json(text)))


def decode_generations(text: bytes) -> Generations:
    pairs = cast("list[tuple[str, int]]", decode_json(text))
    return tuple([(flow_kind, number) for flow_kind, number in pairs])


def encode_topics(topics: list[Topic]) -> bytes:
    return encode_json([[TOPIC_NUMBERS[topic.kind], topic.tenant, topic.id] for topic in topics])


def decode_topics(text: bytes) -> list[Topic]:
    """The topics of a commit, but for kinds that only a newer version of FlowState knows."""
    topics = cast(list[tuple[int, str, str]], decode_json(text))
    return [Topic(TOPICS[kind], Tenant(tenant), id) for kind, tenant, id in topics if kind in TOPICS]
