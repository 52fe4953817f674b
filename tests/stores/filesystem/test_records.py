"""Every field of every record comes back, and what is no record is refused."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.records import (
    Failure,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, SessionKey, org_scope, session_scope
from flowstate_server.stores.filesystem.members import Parsed, file_text, line
from flowstate_server.stores.filesystem.records import members_of, record_of

SESSION, REQUEST = SessionKey(Tenant("t\0"), 'é"'), RequestKey(Tenant("t\0"), "\n")
HEAD = RequestHead(
    key=REQUEST,
    session=SESSION,
    session_log_id="session log",
    log_id="log",
    user_id="ada",
    fingerprint="\x7f",
    process="p",
    status=RequestStatus.SUSPENDED,
    create_time=Micros(1),
    cancel_requested=True,
    cancel_reason="why",
    attempt=3,
    sequence=4,
    end_time=Micros(5),
    gate="gate",
    start_time=Micros(6),
)
ITEM = Item(
    item_id="i",
    kind=ItemKind.CUSTOM,
    index=2,
    content=b"[1.0]",
    role="role",
    name="name",
    audiences=frozenset((Audience.INTERNAL,)),
    removed=True,
)
RECORDS: list[Any] = [
    SessionRecord(
        key=SESSION,
        log_id="log",
        flow_kind="chat",
        user_id="ada",
        org_id="acme",
        ephemeral=True,
        create_time=Micros(1),
        update_time=Micros(2),
        version=3,
        title="title",
        description="description",
        tags=("a", "b"),
        metadata={"a": [None, 1, 1.0, {"b": "ü"}]},
        delete_time=Micros(4),
    ),
    SessionHead(SESSION, "log", sequence=1, turns=2, activity_time=Micros(3), floor=4),
    RequestRecord(
        head=HEAD,
        flow_kind="chat",
        action="say",
        org_id="acme",
        scopes=(session_scope(SESSION), org_scope("acme", isolated_flow="chat")),
        input=b'{"a": 1.50}',
        timeout=Micros(6),
        trace="trace",
        correlation_id="id",
        output=b"null",
        failure=Failure("REASON", "message", {"a": [1]}, "err_1", retryable=True),
        reason="reason",
    ),
    TurnRecord(TurnKey(SESSION, "log", 7), "r", first=1, last=2),
    StateRecord(
        key=session_scope(SESSION),
        version=1,
        incarnation="i",
        exists=True,
        text=b'{\n"a":1}',
        create_time=Micros(2),
        update_time=Micros(3),
        generations=(("chat", 1), ("other", 2)),
        schema_hash="hash",
    ),
    ProcessRecord("p", lease=Micros(1), renew_time=Micros(2), fenced=True),
    Document(
        key=DocumentKey(STORE_OWNER, "kind", ("a", "")),
        version=1,
        incarnation="i",
        text=b"",
        create_time=Micros(2),
        update_time=Micros(3),
        expire_time=Micros(4),
        present=False,
    ),
    EventRecord(
        event=Event(
            type=EventType.ITEM_DONE,
            payload=b'{"a": 1}',
            audiences=frozenset(),
            transient=True,
            block_path=("x", "y"),
            item=ITEM,
        ),
        session=SESSION,
        session_log_id="log",
        session_sequence=1,
        request_id="r",
        sequence=2,
        time=Micros(3),
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_field_comes_back(record: Any) -> None:
    kind = type(record)
    for field in fields(kind):
        if field.init and field.default is not MISSING:
            assert getattr(record, field.name) != field.default, "the sample would not show that it is kept"
    assert record_of(kind, Parsed(file_text(members_of(record)))) == record
    assert record_of(kind, Parsed(line(members_of(record, brief=True)))) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_has_a_default_may_be_missing(record: Any) -> None:
    kind = type(record)
    members = members_of(record)
    optional = [one.name for one in fields(kind) if one.default is not MISSING and one.name in members]
    for name in optional:
        del members[name]
    plain = replace(record, **{one.name: one.default for one in fields(kind) if one.name in optional})
    assert record_of(kind, Parsed(file_text(members))) == plain


OTHERS: list[Json] = [None, True, -1, 1.5, "no such thing", [[]], [{}], {"a": 1}]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_is_no_record_is_refused(record: Any) -> None:
    """A member of another type is, unless it is JSON that the store does not look into."""
    kind = type(record)
    values = decode_json(file_text(members_of(record)))
    assert isinstance(values, dict)
    for name, value in values.items():
        taken = []
        for other in OTHERS:
            try:
                record_of(kind, Parsed(encode_json({**values, name: other})))
            except (LookupError, TypeError, ValueError):
                continue
            taken.append(other)
        free = name in ("input", "output", "state", "value", "payload")
        assert all(free or type(other) is type(value) for other in taken), name
