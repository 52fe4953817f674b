from __future__ import annotations

import pytest

from flowstate_server.model.events import EventType
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.stores import stored_values
from flowstate_server.stores.contract.watch import TopicKind


@pytest.mark.parametrize(
    ("kinds", "numbers"),
    [
        (ScopeKind, stored_values.SCOPE_NUMBERS),
        (RequestStatus, stored_values.STATUS_NUMBERS),
        (EventType, stored_values.EVENT_NUMBERS),
        (ItemKind, stored_values.ITEM_NUMBERS),
        (TopicKind, stored_values.TOPIC_NUMBERS),
        (Audience, stored_values.AUDIENCE_BITS),
    ],
)
def test_every_kind_has_a_number_of_its_own(kinds: type, numbers: dict[object, int]) -> None:
    assert set(numbers) == set(kinds)  # type: ignore[call-overload]
    assert len(set(numbers.values())) == len(numbers)
