from __future__ import annotations

from collections.abc import Iterable

import pytest

from flowstate.v1 import events_pb2 as pb
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, AUDIENCE_HISTORY, AUDIENCE_INTERNAL
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.payloads import ItemDone
from flowstate_server.model.scopes import SessionKey
from flowstate_server.rpc.codec.events import encode_event

FAILURE: Json = {
    "reason": "OUT_OF_STOCK",
    "message": "sold out",
    "details": {"sku": 1},
    "error_id": "",
    "retryable": True,
}

PAYLOADS: list[tuple[EventType, dict[str, Json], str]] = [
    (EventType.REQUEST_CREATED, {"flow_kind": "chat", "action": "say"}, 'flow_kind: "chat" action: "say"'),
    (
        EventType.REQUEST_QUEUED,
        {"ahead": 2, "expire_time": 1_500_000},
        "ahead: 2 expire_time { seconds: 1 nanos: 500000000 }",
    ),
    (EventType.REQUEST_IN_PROGRESS, {"attempt": 1}, "attempt: 1"),
    (
        EventType.REQUEST_COMPLETED,
        {"output": 9223372036854775807, "elapsed": 1_500_000, "scope_versions": {"session": 3}},
        'output { json: "9223372036854775807" } elapsed { seconds: 1 nanos: 500000000 } '
        "scope_versions { scope: SCOPE_KIND_SESSION version: 3 }",
    ),
    (EventType.REQUEST_COMPLETED, {"output": None, "elapsed": 0}, 'output { json: "null" } elapsed { }'),
    (EventType.REQUEST_COMPLETED, {"output_omitted": True, "elapsed": 0}, "elapsed { } output_omitted: true"),
    (
        EventType.REQUEST_FAILED,
        {"failure": FAILURE, "elapsed": 1, "scope_versions": {}},
        'failure { code: 10 reason: "OUT_OF_STOCK" message: "sold out" details { json: "{\\"sku\\":1}" } '
        "retryable: true } elapsed { nanos: 1000 }",
    ),
    (EventType.REQUEST_ABORTED, {"reason": "enough", "scope_versions": {}}, 'reason: "enough"'),
    (EventType.REQUEST_INTERRUPTED, {"reason": "gone", "scope_versions": {}}, 'reason: "gone"'),
    (EventType.BLOCK_STARTED, {"kind": "handler"}, 'block_kind: "handler"'),
    (EventType.BLOCK_COMPLETED, {"elapsed": 5}, "elapsed { nanos: 5000 }"),
    (
        EventType.BLOCK_FAILED,
        {"failure": {"reason": "INTERNAL", "message": "the action failed", "error_id": "err_1"}},
        'failure { code: 13 reason: "INTERNAL" domain: "flowstate.dev" message: "the action failed" '
        'error_id: "err_1" }',
    ),
    (EventType.ROUTER_DECIDED, {"route": "refund"}, 'route: "refund"'),
    (
        EventType.MODEL_USAGE,
        {"provider": "anthropic", "model": "opus", "input_tokens": 1200, "output_tokens": 30},
        'provider: "anthropic" model: "opus" input_tokens: 1200 output_tokens: 30',
    ),
    (
        EventType.ITEM_DELTA,
        {"item_id": "i", "index": 4, "text": "héllo"},
        'item_id: "i" index: 4 text: "héllo"',
    ),
    (EventType.ITEM_REMOVED, {"item_id": "i"}, 'item_id: "i"'),
    (
        EventType.STATE_CHANGE,
        {
            "scope": "user",
            "previous_version": 1,
            "version": 2,
            "changed": {"/a": 1.0},
            "removed": ["/b"],
            "stale": ["c"],
        },
        "scope: SCOPE_KIND_USER previous_version: 1 version: 2 "
        'changed { key: "/a" value { json: "1.0" } } removed: "/b" stale: "c"',
    ),
    (
        EventType.STATE_CHANGE,
        {
            "scope": "block",
            "previous_version": 0,
            "version": 1,
            "changed": {"/a": 1},
            "removed": [],
            "stale": [],
            "owner_path": ["plan", "search#2"],
        },
        'scope: SCOPE_KIND_BLOCK version: 1 changed { key: "/a" value { json: "1" } } '
        'owner_path: "plan" owner_path: "search#2"',
    ),
    (
        EventType.RESOURCE_CHANGE,
        {
            "scope": "session",
            "name": "files/a",
            "previous_version": 1,
            "version": 2,
            "changed": {"/a": 1.0},
            "removed": ["/b"],
            "stale": ["c"],
            "deleted": True,
            "content_changed": True,
            "schema": "0a1b2c3d",
            "stale_derived": ["d"],
        },
        'scope: SCOPE_KIND_SESSION name: "files/a" version: 2 deleted: true '
        'changed { key: "/a" value { json: "1.0" } } previous_version: 1 removed: "/b" stale: "c" '
        'stale_derived: "d" content_changed: true',
    ),
    (EventType.SESSION_METADATA_CHANGED, {"paths": ["title"], "version": 2}, 'paths: "title" version: 2'),
    (EventType.STATUS, {"text": "thinking"}, 'text: "thinking"'),
    (EventType.STATUS, {"text": "half", "progress": 0.0}, 'text: "half" progress: 0'),
    (EventType.CUSTOM, {"name": "n", "data": {"a": []}}, 'name: "n" data { json: "{\\"a\\":[]}" }'),
    (EventType.CUSTOM, {"name": "n", "data": None}, 'name: "n"'),
]


def _record(
    kind: EventType,
    payload: Json,
    audiences: Iterable[Audience] = (Audience.CLIENT,),
    item: Item | None = None,
) -> EventRecord:
    event = Event(
        kind, encode_json(payload), frozenset(audiences), block_path=("a", "b"), transient=True, item=item
    )
    return EventRecord(
        event=event,
        session=SessionKey(Tenant("acme"), "s1"),
        session_log_id="log",
        session_sequence=12,
        request_id="r1",
        sequence=4,
        time=Micros(1_000_001),
    )


@pytest.mark.parametrize(("kind", "payload", "text"), PAYLOADS)
def test_payloads(kind: EventType, payload: dict[str, Json], text: str) -> None:
    wire = encode_event(_record(kind, payload))
    case = wire.WhichOneof("payload")
    assert case is not None
    assert case.replace("_update", "").replace("_", "") == kind.value.replace(".", "").replace("_", "")
    assert " ".join(str(getattr(wire, case)).split()) == text


def test_every_type_has_a_payload() -> None:
    assert {kind for kind, _, _ in PAYLOADS} | {EventType.ITEM_ADDED, EventType.ITEM_DONE} == set(EventType)


def test_the_place_of_an_event() -> None:
    wire = encode_event(_record(EventType.STATUS, {"text": ""}))
    assert (wire.sequence, wire.session_sequence, wire.request_id, wire.session_id) == (4, 12, "r1", "s1")
    assert (wire.time.seconds, wire.time.nanos) == (1, 1_000)
    assert (wire.type, list(wire.block_path), wire.transient) == ("status", ["a", "b"], True)
    assert wire.event_id == "log-12"


@pytest.mark.parametrize(
    ("audiences", "expected"),
    [
        ((Audience.HISTORY, Audience.CLIENT), AUDIENCE_CLIENT),
        ((Audience.HISTORY,), AUDIENCE_HISTORY),
        ((Audience.INTERNAL,), AUDIENCE_INTERNAL),
        ((), AUDIENCE_INTERNAL),
    ],
)
def test_audiences(audiences: tuple[Audience, ...], expected: int) -> None:
    assert encode_event(_record(EventType.STATUS, {"text": ""}, audiences)).audience == expected


def test_an_item_is_announced_without_and_done_with_its_content() -> None:
    item = Item(
        item_id="i1",
        kind=ItemKind.MESSAGE,
        index=2,
        content=b'{"parts":[]}',
        role="assistant",
        name="greeting",
        audiences=frozenset((Audience.HISTORY,)),
    )
    announced: Json = {
        "item_id": "i1",
        "kind": "message",
        "index": 2,
        "role": "assistant",
        "name": "greeting",
        "audiences": ["history"],
    }
    added = encode_event(_record(EventType.ITEM_ADDED, {"item": announced})).item_added.item
    done = encode_event(_record(EventType.ITEM_DONE, {}, item=item)).item_done.item
    whole = ItemDone(item).encode()
    assert encode_event(_record(EventType.ITEM_DONE, decode_json(whole))).item_done.item == done
    assert not added.HasField("content")
    assert done.content.json == '{"parts":[]}'
    done.ClearField("content")
    assert added == done
    assert done == pb.Item(
        item_id="i1",
        kind="message",
        role="assistant",
        audiences=[AUDIENCE_HISTORY],
        create_time=added.create_time,
        request_id="r1",
        index=2,
        name="greeting",
    )


def test_a_removed_item_is_done_without_content() -> None:
    item = Item("i1", ItemKind.MESSAGE, 2, b"", removed=True)
    done = encode_event(_record(EventType.ITEM_DONE, {}, item=item)).item_done.item
    assert (done.removed, done.HasField("content"), done.item_id) == (True, False, "i1")
