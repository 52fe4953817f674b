"""Requests end in one place, which hands their gates on; what a batch lacks is loaded and the batch decided again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.gates import (
    Gate,
    Policy,
    Waiting,
    decode_gate,
    encode_gate,
    gate_key,
    gate_text,
    turn_key,
)
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores import commit
from flowstate_server.stores.commit import endings
from flowstate_server.stores.commit.asked import Asked
from flowstate_server.stores.commit.decide import decide
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.tables import DOCUMENTS, REQUEST_HEADS
from flowstate_server.stores.contract.writes import CommitResult
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract.builders import finish, head_of, new_session
from flowstate_server.testing.store_contract.gates import come, coming, gate_of, key_of, prepare
from tests.unit.stores.groups import NOW, REQUEST, loaded

GATE = gate_text("chat", "say", "session", "s")
KEY = gate_key(REQUEST.tenant, GATE)
WAITING = RequestKey(REQUEST.tenant, "waiting")


def test_requests_end_in_one_place() -> None:
    """Whoever writes an outcome elsewhere has forgotten the gate; imports take over what ended elsewhere."""
    folder = Path(commit.__file__).parent
    ending = {path.name for path in folder.glob("*.py") if "outcomes.put(" in path.read_text("utf-8")}
    assert ending == {"endings.py", "import_writes.py"}


def test_a_gate_that_was_not_named_is_asked_for() -> None:
    records = loaded()
    records.of(REQUEST_HEADS)[REQUEST] = replace(records.of(REQUEST_HEADS)[REQUEST], gate=GATE)
    gate = Gate(REQUEST.request_id, (Waiting(WAITING.request_id, Micros(99)),))
    records.of(DOCUMENTS)[KEY] = Document(KEY, 1, "i", encode_gate(gate), NOW, NOW)
    batch = (finish(REQUEST, status=RequestStatus.FAILED),)
    nothing = Asked(lambda table, key: False)
    assert decide([batch], records, asked=nothing).answers == []
    assert nothing.lacking is not None
    assert nothing.lacking.of(DOCUMENTS) == {KEY}
    decided = decide([batch], records, asked=Asked(lambda table, key: True))
    assert isinstance(decided.answers[0], CommitResult)
    assert [one.key for one in decided.changes.new_of(DOCUMENTS)] == [turn_key(WAITING, GATE)]
    assert [one.text for one in decided.changes.changed_of(DOCUMENTS)] == [
        encode_gate(Gate(WAITING.request_id))
    ]


@pytest.mark.parametrize("how", ["interrupted", "deleted"])
async def test_a_queue_that_ends_as_a_whole_is_read_a_few_times(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where each that waits left by itself, a thousand of them held up every commit for seconds."""
    read: list[Gate] = []

    def reading(document: Document | None) -> Gate | None:
        gate = decode_gate(document)
        read.extend([] if gate is None else [gate])
        return gate

    store = MemoryStore()
    await store.open()
    await prepare(store)
    names = [f"request-{number}" for number in range(100)]
    for name in ("running", *names):
        await store.commit(coming(name, limit=len(names)))
    monkeypatch.setattr(endings, "decode_gate", reading)
    if how == "interrupted":
        await come(store, "newest", policy=Policy.INTERRUPT)
        assert [(await head_of(store, key_of(name))).status for name in names] == 100 * [
            RequestStatus.ABORTED
        ]
    else:
        await store.commit((DeleteSession(new_session().key),))
        assert await gate_of(store) is None
    assert sum(len(gate.waiting) for gate in read) < 10 * len(names)
    await store.close()
