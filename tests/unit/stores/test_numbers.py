from __future__ import annotations

from collections.abc import Iterable

import pytest

from flowstate_server.model.events import EventType
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RECORD_SCOPES
from flowstate_server.stores.contract.watch import TopicKind
from flowstate_server.stores.tables import numbers


@pytest.mark.parametrize(
    ("kinds", "numbers"),
    [
        (RECORD_SCOPES, numbers.SCOPE_NUMBERS),
        (RequestStatus, numbers.STATUS_NUMBERS),
        (EventType, numbers.EVENT_NUMBERS),
        (ItemKind, numbers.ITEM_NUMBERS),
        (TopicKind, numbers.TOPIC_NUMBERS),
        (Audience, numbers.AUDIENCE_BITS),
    ],
)
def test_every_kind_has_a_number_of_its_own(kinds: Iterable[object], numbers: dict[object, int]) -> None:
    assert set(numbers) == set(kinds)
    assert len(set(numbers.values())) == len(numbers)
