"""Ranges of documents, as the batches of a group leave them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange
from flowstate_server.stores.commit.working_documents import RangeSpent
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    Loaded,
)
from tests.unit.stores.groups import (
    loaded,
)

NAMES = [DocumentKey(STORE_OWNER, "kind", (name,)) for name in "abcd"]
OLDEST = DocumentRange(STORE_OWNER, "kind", limit=2)


def _document(key: DocumentKey) -> Document:
    return Document(key, 1, "i", b"1", Micros(1), Micros(1))


def _range(records: Loaded, *batches: Callable[[WorkingSet], None]) -> list[str]:
    """The range after some batches."""
    work = WorkingSet(records)
    for batch in batches:
        batch(work)
        work.keep()
    return [document.key.name[0] for document in work.documents.range(OLDEST)]


def test_range_is_what_was_loaded_and_what_batches_made_of_it() -> None:
    a, b, c, d = NAMES
    some = loaded(ranges={OLDEST: [_document(b)]})
    assert _range(some) == ["b"]
    assert _range(some, lambda work: work.documents.put(a, _document(a))) == ["a", "b"]
    assert _range(some, lambda work: work.documents.put(d, _document(d))) == ["b", "d"]
    assert _range(some, lambda work: work.documents.remove(b)) == []
    full = loaded(ranges={OLDEST: [_document(a), _document(c)]})
    assert _range(full, lambda work: work.documents.put(b, _document(b))) == ["a", "b"]


def test_range_that_lost_what_was_loaded_of_it_is_spent() -> None:
    """What lies behind the last one loaded is not known, whatever was put there."""
    a, b, _, d = NAMES
    full = loaded(ranges={OLDEST: [_document(a), _document(b)]})

    def batch(work: WorkingSet) -> None:
        work.documents.remove(a)
        work.documents.put(d, _document(d))

    with pytest.raises(RangeSpent):
        _range(full, batch)


def test_removed_document_of_a_range_is_removed_from_the_store() -> None:
    a, b, *_ = NAMES
    work = WorkingSet(loaded(ranges={OLDEST: [_document(a), _document(b)]}))
    work.documents.remove(a)
    work.keep()
    assert work.changes().removed_of(DOCUMENTS) == [a]
