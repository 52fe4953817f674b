"""Changes of large states make what they make of small ones, in layers and as patches."""

from __future__ import annotations

import pytest

from flowstate_server.engine.state_change import made_state
from flowstate_server.errors import StateTooLargeError, StateValidationError
from flowstate_server.model.clock import Micros
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.parsed_states import in_parts, state_record
from flowstate_server.model.records import StateRecord
from flowstate_server.model.state_parts import Fitting, StateParts, StatePatch, patched_state
from flowstate_server.state.operations import PutRecord, SetValue, TestEqual as Equal
from flowstate_server.stores.contract.writes import Changed
from tests.support.large_states import (
    RULES,
    SCHEMA,
    USER,
    Reference,
    after,
    change,
    entry,
    large_state,
    record,
)


@pytest.mark.parametrize("seed", range(3))
def test_layers_and_patches_make_the_state(seed: int) -> None:
    expected = Reference(seed)
    newest, base, patches = record(expected.state), encode_json(expected.state), list[bytes]()
    in_layers = 0
    for number in range(400):
        operations = expected.step()
        if change(*operations)(newest).__class__ is not Changed:
            continue
        newest, changed = after(newest, *operations)
        assert isinstance(changed.text, StatePatch)
        in_layers += not isinstance(changed.state, dict)
        patches.append(changed.text.text)
        assert changed.text.size == newest.size
        if number % 50 == 0:
            whole = encode_json(expected.state)
            assert newest.layers.state == expected.state
            assert newest.size == len(whole)
            assert encode_json(patched_state(base, patches)) == whole
    assert newest.text == encode_json(expected.state)
    assert in_layers > 300


def test_events_tell_the_same_as_of_a_small_state() -> None:
    large, _ = after(record(), PutRecord(("entries",), "key 7", entry(0)))
    small, _ = after(
        record({"entries": {"key 7": entry(7), "key 8": entry(8)}}),
        PutRecord(("entries",), "key 7", entry(0)),
    )
    operations = (PutRecord(("entries",), "key 8", entry(1)), PutRecord(("entries",), "new", entry(2)))
    told = [made.told for one in (large, small) if (made := made_state(one, operations, RULES))]
    assert len(told) == 2
    assert told[0] == told[1]
    assert set(told[0].changed) == {"/entries/key 8", "/entries/new"}


def test_a_record_that_does_not_fit_is_refused_by_its_place() -> None:
    newest, _ = after(record(), PutRecord(("entries",), "key 7", entry(0)))
    with pytest.raises(StateValidationError) as refused:
        change(PutRecord(("entries",), "key 9", {"count": "many"}))(newest)
    assert [violation.path for violation in refused.value.violations] == ["/entries/key 9/count"]


def test_a_neighbor_that_does_not_fit_is_found_once_the_state_was_loaded() -> None:
    state = large_state()
    assert isinstance(state["entries"], dict)
    state["entries"]["key 1"] = {"count": "many"}
    with pytest.raises(StateValidationError):
        change(PutRecord(("entries",), "key 9", entry(1)))(record(state))
    other = Fitting(object(), frozenset({"entries"}))
    known = state_record(
        USER,
        version=1,
        incarnation="first",
        state=state,
        text=encode_json(state),
        create_time=Micros(0),
        update_time=Micros(0),
        fitting=other,
    )  # by another schema
    with pytest.raises(StateValidationError):
        change(PutRecord(("entries",), "key 9", entry(1)))(known)


def test_what_looks_at_more_than_records_sees_the_whole() -> None:
    newest, _ = after(record(), PutRecord(("entries",), "key 7", entry(0)))
    newest, _ = after(newest, PutRecord(("entries",), "key 8", entry(0)))
    whole = newest.layers.state["entries"]
    newest, changed = after(newest, Equal(("entries",), whole), SetValue(("title",), "after"))
    assert isinstance(changed.state, dict)
    assert newest.state == {**large_state(), "title": "after", "entries": whole}


def test_only_what_is_stored_already_changes_nothing() -> None:
    newest, _ = after(record(), PutRecord(("entries",), "key 7", entry(0)))
    assert not isinstance(change(PutRecord(("entries",), "key 7", entry(0)))(newest), Changed)


def test_the_limit_holds_for_the_whole() -> None:
    newest, _ = after(record(), PutRecord(("entries",), "key 7", entry(0)))
    with pytest.raises(StateTooLargeError) as refused:
        change(*[PutRecord(("entries",), f"{number}", {"text": "x" * 50_000}) for number in range(25)])(
            newest
        )
    assert "1048576" in str(refused.value) or "1,048,576" in str(refused.value)


def test_a_patch_that_is_hardly_shorter_is_a_text() -> None:
    state = large_state()
    newest, changed = after(record(state), SetValue(("entries",), {}))
    assert isinstance(changed.text, StatePatch)  # what goes needs few words
    _, changed = after(newest, SetValue(("entries",), state["entries"]))
    assert isinstance(changed.text, bytes)


def test_patches_are_folded_in_time() -> None:
    parts = StateParts(object(), 100_000, base=3)
    for number in range(300):
        parts = parts.patched(StatePatch(b"[]", 100_000))
        assert len(parts.new) <= 257
        assert parts.folds == (number >= 256)
    assert StateParts(object(), 100_000, base=3, count=1, patch_bytes=30_000).folds


def test_a_patch_that_does_not_fit_is_damage() -> None:
    damaged = StateRecord(USER, 1, "first", True)
    in_parts(damaged, StateParts(object(), 2, 1, 1, 1, (), (b"{}", b'[[["a","b"],1]]')))
    with pytest.raises(ValueError, match="can't be understood"):
        _ = damaged.state
    with pytest.raises(ValueError, match="can't be understood"):
        _ = damaged.text


def test_which_fields_are_maps_of_records() -> None:
    assert [name for name in SCHEMA.fields if SCHEMA.by_record(name)] == ["entries", "numbers"]
    assert not SCHEMA.by_record("other")
