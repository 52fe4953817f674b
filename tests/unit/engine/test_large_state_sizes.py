"""The size that is kept of a large state is that of its text, whatever was done to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from flowstate_server.errors import FlowStateError
from flowstate_server.model import layered_state
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.state_parts import LARGE_BYTES, StatePatch, patched_state
from flowstate_server.state.operations import (
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
)
from flowstate_server.stores.contract.writes import Changed
from tests.support.large_states import after, change, record

PAD = "x" * LARGE_BYTES

keys = st.sampled_from(["a", "b", "é", '"'])
numbers = st.sampled_from([0, 7, -1, 10**6])
texts = st.sampled_from(["", "ä\n"])
number_maps = st.dictionaries(keys, numbers)
entry_maps = st.dictionaries(keys, st.fixed_dictionaries({"text": texts, "count": numbers}))
maps = st.sampled_from([("numbers",), ("entries",)])
in_entries = st.tuples(st.just("entries"), keys)
of_records = st.one_of(
    st.builds(PutRecord, st.just(("numbers",)), keys, numbers),
    st.builds(PutRecord, st.just(("entries",)), keys, st.builds(lambda text: {"text": text}, texts)),
    st.builds(DeleteRecord, maps, keys),
    st.builds(Merge, st.just(("numbers",)), number_maps.filter(bool)),
    st.builds(Merge, in_entries, st.builds(lambda text: {"text": text}, texts)),
    st.builds(Increment, st.tuples(st.just("numbers"), keys), numbers),
    st.builds(Increment, in_entries.map(lambda path: (*path, "count")), numbers),
    st.builds(SetValue, in_entries.map(lambda path: (*path, "text")), texts),
    st.builds(Remove, st.tuples(st.sampled_from(["numbers", "entries"]), keys)),
    st.builds(Remove, in_entries.map(lambda path: (*path, "text"))),
)
of_wholes = st.one_of(
    st.builds(SetValue, st.just(("title",)), texts),
    st.builds(SetValue, st.just(("numbers",)), number_maps),
    st.builds(SetValue, st.just(("entries",)), entry_maps),
    st.builds(Merge, st.just(()), st.fixed_dictionaries({"numbers": number_maps, "title": texts})),
    st.builds(Remove, st.sampled_from([("numbers",), ("entries",), ("title",)])),
)
seldom = st.integers(0, 9).map(lambda drawn: drawn == 9)
steps = seldom.flatmap(
    lambda whole: st.lists(of_records | of_wholes if whole else of_records, min_size=1, max_size=3)
)


def test_what_was_added_counts_once_all_that_was_there_is_gone() -> None:
    newest = record({"pad": PAD, "numbers": {"a": 1}})
    newest, _ = after(newest, PutRecord(("numbers",), "a", 2))
    newest, _ = after(newest, PutRecord(("numbers",), "b", 1))
    newest, _ = after(newest, DeleteRecord(("numbers",), "a"))
    for number in range(200):
        newest, changed = after(newest, PutRecord(("numbers",), f"k{number}", 1))
        assert not isinstance(changed.state, dict), "it is made in layers"
    assert newest.size == len(newest.text)


@settings(max_examples=400, deadline=None)
@given(
    number_maps,
    entry_maps,
    st.lists(st.tuples(steps, seldom), max_size=25),
    st.sampled_from([2, layered_state.MOST_RECORDS]),
)
def test_the_size_is_that_of_the_text_after_each_step(
    in_numbers: JsonObject,
    in_entries: JsonObject,
    done: list[tuple[list[Operation], bool]],
    most: int,
) -> None:
    """However maps are emptied and filled, whether their layers are put into one early or late, and whether or not
    somebody reads the whole in between."""
    newest = record({"pad": PAD, "numbers": in_numbers, "entries": in_entries, "title": ""})
    written = Merge((), {"numbers": in_numbers, "entries": in_entries, "title": "known to fit"})
    newest, _ = after(newest, written)
    base, patches = encode_json(newest.layers.state), list[bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layered_state, "MOST_RECORDS", most)
        for operations, read in done:
            try:
                changed = change(*operations)(newest)
            except FlowStateError:  # they do not fit what is there
                continue
            if not isinstance(changed, Changed):
                continue
            newest, changed = after(newest, *operations)
            assert isinstance(changed.text, StatePatch)
            patches.append(changed.text.text)
            whole = encode_json(newest.layers.state)
            assert newest.size == len(whole) == len(encode_json(patched_state(base, patches)))
            if read:
                assert len(newest.text) == newest.size
