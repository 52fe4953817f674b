"""Keys as bytes sort like keys."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest

from flowstate_server.model.documents import DocumentKey, encode_key, flow_owner, session_owner
from flowstate_server.model.events import EventKey
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKey, SessionKey
from flowstate_server.stores.contract.encoding import encode_place
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)

TEXTS = ("", "\0", "\0\0", "\0a", "a", "a\0", "a\0\xff", "a\x01", "aa", "B", "é", "\uffee", "\U0001d11e")
NUMBERS = (0, 1, 255, 256, 2**63 - 1)
PAIRS = [SessionKey(Tenant(tenant), id) for tenant, id in product(TEXTS, repeat=2)]
KEYS: dict[Table[Any, Any], list[Any]] = {
    PROCESSES: [*TEXTS],
    SESSIONS: PAIRS,
    TURNS: [TurnKey(pair, log, number) for pair in PAIRS[::7] for log in TEXTS for number in NUMBERS],
    EVENTS: [EventKey(pair, number) for pair in PAIRS for number in NUMBERS],
    STATES: [ScopeKey(kind, *pair, flow) for kind in RECORD_SCOPES for pair in PAIRS[::5] for flow in TEXTS],
    DOCUMENTS: [
        DocumentKey(owner, "kind", pair)
        for pair in PAIRS
        for owner in (flow_owner(pair[0]), session_owner(pair, ""))
    ],
}


@pytest.mark.parametrize("table", KEYS, ids=lambda table: table.name)
def test_encoded_keys_sort_like_keys(table: Table[Any, Any]) -> None:
    keys = KEYS[table]
    random.Random(1).shuffle(keys)
    encoded = {key: encode_place(table.place(key)) for key in keys}
    assert len(set(encoded.values())) == len(keys)
    assert sorted(keys, key=encoded.__getitem__) == sorted(keys, key=table.place)


def test_parts_may_be_given_one_by_one() -> None:
    turn = TurnKey(SessionKey(Tenant("t"), "s"), "log", 7)
    assert encode_place(turn) == encode_place("t", "s", "log", 7)
    assert encode_place(turn).startswith(encode_place(turn.session, turn.log_id))


def test_document_keys_are_those_of_ranges() -> None:
    for key in KEYS[DOCUMENTS]:
        assert encode_place(*key.owner, key.kind, *key.name) == encode_key(key)


@pytest.mark.parametrize("part", [-1, 2**64, 1.5, None])
def test_what_does_not_sort_is_refused(part: Any) -> None:
    with pytest.raises((OverflowError, TypeError)):
        encode_place(part)
