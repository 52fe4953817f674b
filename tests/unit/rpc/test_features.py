from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
    state_service_pb2 as state,
)
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, Precondition, ScopeRef, Value
from flowstate_server.errors import FeatureDisabledError
from flowstate_server.rpc import features
from flowstate_server.rpc.features import (
    OPTIONAL_FIELDS,
    capabilities,
    check_fields,
)
from tests.support.contract import METHODS, SERVICES, UNSERVED_METHODS

PROTOS = Path(__file__).parents[3] / "protos/flowstate/v1"


def _value() -> Value:
    return Value(json="1")


SET: dict[str, Callable[[], Message]] = {
    "DispatchActionRequest.validate_only": lambda: flows.DispatchActionRequest(validate_only=True),
    "StreamActionRequest.filter": lambda: flows.StreamActionRequest(filter=events.EventFilter()),
    "ListEventsRequest.session_id": lambda: events.ListEventsRequest(session_id=""),
    "ListEventsRequest.filter": lambda: events.ListEventsRequest(filter=events.EventFilter(types=["a"])),
    "TailEventsRequest.session_id": lambda: events.TailEventsRequest(session_id="s"),
    "TailEventsRequest.filter": lambda: events.TailEventsRequest(
        filter=events.EventFilter(audience=AUDIENCE_CLIENT)
    ),
    "ListSessionsRequest.org_id": lambda: sessions.ListSessionsRequest(org_id="o"),
    "ListSessionsRequest.metadata": lambda: sessions.ListSessionsRequest(metadata={"a": _value()}),
    "ListSessionsRequest.tags": lambda: sessions.ListSessionsRequest(tags=["a"]),
    "ListSessionsRequest.active_after": lambda: sessions.ListSessionsRequest(
        active_after=Timestamp(seconds=1)
    ),
    "ListSessionsRequest.include_total": lambda: sessions.ListSessionsRequest(include_total=True),
    "GetStateRequest.paths": lambda: state.GetStateRequest(paths=["/a"]),
    "CommitStateRequest.validate_only": lambda: state.CommitStateRequest(validate_only=True),
    "StateMutation.resource": lambda: state.CommitStateRequest(
        mutations=[state.StateMutation(resource="artifact")]
    ),
    "StateOp.test": lambda: state.CommitStateRequest(
        mutations=[state.StateMutation(ops=[state.StateOp(), state.StateOp(test=state.TestOp())])]
    ),
    "Precondition.incarnation": lambda: state.CommitStateRequest(
        mutations=[state.StateMutation(precondition=Precondition(incarnation="i"))]
    ),
    "ScopeRef.isolated": lambda: state.GetStateRequest(scopes=[ScopeRef(user_id="u", isolated=True)]),
}


SERVED = [name for name, is_served in OPTIONAL_FIELDS.items() if is_served]


@pytest.fixture
def unserved(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Takes a field from what is served, as a release may that can't keep its promise yet."""

    def take(feature: str) -> None:
        monkeypatch.setitem(features.OPTIONAL_FIELDS, feature, False)
        features._watched_in.cache_clear()

    yield take
    monkeypatch.undo()
    features._watched_in.cache_clear()


@pytest.mark.parametrize("feature", SERVED)
def test_a_field_that_is_served_is_let_through_and_told(feature: str) -> None:
    check_fields(SET[feature]())
    assert feature in capabilities()


@pytest.mark.parametrize("feature", SET)
def test_a_field_that_is_not_served_is_refused_when_set(
    feature: str, unserved: Callable[[str], None]
) -> None:
    unserved(feature)
    with pytest.raises(FeatureDisabledError) as refusal:
        check_fields(SET[feature]())
    assert refusal.value.feature == feature
    assert feature not in capabilities()


def test_what_is_not_set_is_not_refused() -> None:
    for method in METHODS.values():
        check_fields(GetMessageClass(method.input_type)())
    check_fields(state.GetStateRequest(scopes=[ScopeRef(user_id="u", isolated=False)]))
    check_fields(flows.DispatchActionRequest(spec=flows.ActionSpec(input=_value()), validate_only=False))


def test_the_table_names_what_exists() -> None:
    messages: dict[str, Descriptor] = {}
    for service in SERVICES.values():
        messages |= dict(service.file.message_types_by_name)
        for imported in service.file.dependencies:
            messages |= dict(imported.message_types_by_name)
    for feature in OPTIONAL_FIELDS:
        message, field = feature.split(".")
        assert field in messages[message].fields_by_name, feature


def test_capabilities_are_what_is_served() -> None:
    served = set(capabilities())
    assert "StateService/CommitState" in served
    assert not served & UNSERVED_METHODS
    assert {name for name in served if "/" in name} == set(METHODS) - UNSERVED_METHODS
    assert served - set(METHODS) == set(SERVED)


def _fields_sent(message: Descriptor, known: set[str]) -> set[str]:
    for field in message.fields:
        name = f"{message.name}.{field.name}"
        if name not in known:
            known.add(name)
            if field.message_type is not None:
                _fields_sent(field.message_type, known)
    return known


def test_the_contract_puts_off_the_fields_that_are_not_served() -> None:
    sent: set[str] = set()
    for name in set(METHODS) - UNSERVED_METHODS:
        _fields_sent(METHODS[name].input_type, sent)
    put_off = set()
    for file in PROTOS.glob("*.proto"):
        message = comment = ""
        for line in file.read_text().splitlines():
            if line.strip().startswith("//"):
                comment += line.strip().removeprefix("//")
                continue
            if found := re.match(r"message (\w+)", line):
                message = found[1]
            field = re.search(r"(\w+) = \d+;", line)
            if field and "Served by a later release" in comment:
                put_off.add(f"{message}.{field[1]}")
            comment = ""
    assert put_off & sent == {name for name, is_served in OPTIONAL_FIELDS.items() if not is_served}
