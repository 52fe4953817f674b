"""What an event says is read as it was written."""

from __future__ import annotations

import pytest

from flowstate_server.model import payloads
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.payloads import Payload
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind

FAILURE = Failure("OUT_OF_STOCK", "sold out", {"sku": 1}, "err_1", retryable=True)
VERSIONS = {ScopeKind.SESSION: 3, ScopeKind.USER: 0}

EVERY_TYPE: list[Payload] = [
    payloads.RequestCreated("chat", "say"),
    payloads.RequestInProgress(2),
    payloads.RequestQueued(3, Micros(1_500_000)),
    payloads.RequestCompleted(Micros(5), {"text": "hello"}, scope_versions=VERSIONS),
    payloads.RequestFailed(FAILURE, Micros(7), VERSIONS),
    payloads.RequestAborted("enough", VERSIONS),
    payloads.RequestInterrupted("gone", VERSIONS),
    payloads.BlockStarted("handler"),
    payloads.BlockCompleted(Micros(11)),
    payloads.BlockFailed(FAILURE),
    payloads.ModelUsage("anthropic", "opus", 1200, 30),
    payloads.RouterDecided("refund"),
    payloads.ItemAdded(
        Item(
            item_id="i",
            kind=ItemKind.TOOL_CALL,
            index=4,
            content=b"",
            role="assistant",
            name="search",
            audiences=frozenset((Audience.HISTORY,)),
        )
    ),
    payloads.ItemDone(Item("i", ItemKind.CUSTOM, 2, b'{"n":1.0,"b":[]}', name="draft")),
    payloads.ItemDelta("i", 3, "héllo"),
    payloads.ItemRemoved("i"),
    payloads.StateChange(
        scope=ScopeKind.USER,
        previous_version=1,
        version=2,
        changed={"/a": 1.0, "/b": None},
        removed=["/c"],
        stale=["d"],
        declared={"a": "0a1b2c3d"},
    ),
    payloads.ResourceChange(
        scope=ScopeKind.ORG,
        name="files/a",
        previous_version=1,
        version=2,
        changed={"/a": 1.0, "/b": None},
        removed=["/c"],
        stale=["d"],
        deleted=True,
        content_changed=True,
        schema="0a1b2c3d",
        stale_derived=["e"],
    ),
    payloads.SessionMetadataChanged(["title"], 2),
    payloads.Status("half way", 0.5),
    payloads.Custom("note", {"a": []}),
]
SPECIAL: list[Payload] = [
    payloads.RequestCompleted(Micros(0), None, scope_versions=VERSIONS),
    payloads.RequestCompleted(Micros(5), output_omitted=True, scope_versions=VERSIONS),
    payloads.StateChange(ScopeKind.BLOCK, 0, 1, {"/a": 1}, [], [], owner_path=["plan", "search#2"]),
    payloads.Status("no progress"),
    payloads.Status("none yet", 0.0),
    payloads.Custom("bare", None),
]


@pytest.mark.parametrize("payload", EVERY_TYPE + SPECIAL, ids=lambda payload: str(payload.type))
def test_it_is_read_as_it_was_written(payload: Payload) -> None:
    assert type(payload).decode(payload.encode()) == payload


def test_every_type_has_one_class() -> None:
    assert sorted(payload.type for payload in EVERY_TYPE) == sorted(EventType)


def test_a_run_ends_without_knowing_the_versions() -> None:
    """The commit adds them to what the run says."""
    told = payloads.RequestAborted("enough", VERSIONS)
    assert told.members() == {"reason": "enough"}
    assert payloads.encode_terminal(told.members(), VERSIONS) == told.encode()


def test_the_output_goes_out_of_an_end_and_nothing_else() -> None:
    whole = payloads.RequestCompleted(Micros(5), {"text": "hello"}, scope_versions=VERSIONS)
    left = payloads.RequestCompleted.decode(payloads.without_output(whole.encode()))
    assert left == payloads.RequestCompleted(Micros(5), output_omitted=True, scope_versions=VERSIONS)
    assert payloads.without_output(left.encode()) == left.encode()
