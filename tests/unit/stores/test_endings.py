"""Requests end in one place, which hands their gates on; what a batch lacks is loaded and the batch decided again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.gates import Gate, Waiting, encode_gate, gate_key, gate_text, turn_key
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores import commit
from flowstate_server.stores.commit.asked import Asked
from flowstate_server.stores.commit.decide import decide
from flowstate_server.stores.contract.tables import DOCUMENTS, REQUEST_HEADS
from flowstate_server.stores.contract.writes import CommitResult
from flowstate_server.testing.store_contract.builders import finish
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
