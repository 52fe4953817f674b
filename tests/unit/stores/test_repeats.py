"""Calls that come twice."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import (
    SessionKey,
)
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUEST_HEADS,
)
from flowstate_server.stores.contract.writes import (
    PutIdempotencyKey,
    RequireSession,
)
from flowstate_server.testing.store_contract.builders import (
    increment,
    new_request,
)
from tests.unit.stores.groups import (
    ADA,
    KEY,
    NOW,
    REQUEST,
    SESSION,
    decide,
    loaded,
    ok,
)


def test_remembered_key_is_replaced_when_it_expired() -> None:
    write = PutIdempotencyKey(KEY, "print", Micros(10))
    for expire_time, replayed in ((NOW, False), (NOW + 1, True)):
        remembered = _remembered(b'["print",[["x",5,false,"id-1"],["",0,true]]]', Micros(expire_time))
        answers, changes = decide([(increment(ADA), write)], loaded(documents={remembered.key: remembered}))
        answer = ok(answers[0])
        assert answer.replayed is replayed
        assert len(changes.changed_of(DOCUMENTS)) == (not replayed)
        assert changes.new_of(DOCUMENTS) == []
        if replayed:
            assert [(one.id, one.version, one.changed, one.ids) for one in answer.results] == [
                ("x", 5, False, ("id-1",)),
                ("", 0, True, ()),
            ]
            assert changes.empty


def _remembered(text: bytes, expire_time: Micros) -> Document:
    return Document(KEY.document, 1, "i", text, Micros(1), Micros(1), expire_time)


def test_repeat_is_looked_up_before_any_other_write() -> None:
    remembered = _remembered(b'["print",[]]', Micros(NOW + 1))
    impossible = RequireSession(SessionKey(NO_TENANT, "none"), "log")
    records = loaded(documents={remembered.key: remembered})
    answers, _ = decide([(impossible, PutIdempotencyKey(KEY, "print", Micros(1)))], records)
    assert ok(answers[0]).replayed
    repeat = replace(new_request(SESSION), process="gone")
    answers, changes = decide([(impossible, repeat)])
    assert ok(answers[0]).attached == loaded().of(REQUEST_HEADS)[REQUEST]
    assert changes.empty
