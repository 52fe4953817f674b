"""Calls with parts that an older server does not know, and would ignore."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from flowstate_client import FeatureUnavailable, FlowStateClient, ItemDelta, StateWrite
from flowstate_client.capabilities import OPTIONAL_FIELDS
from flowstate_server.rpc import features
from tests.client.fake_tails import refuse
from tests.client.fakes import FakeServer
from tests.client.test_limits import _made

NOW = datetime.now(UTC)


async def _test(client: FlowStateClient) -> None:
    async with client.state.user("u").batch() as batch:
        batch.test_state("a", exists=True)


CALLS: dict[str, Callable[[FlowStateClient], Any]] = {
    "CommitStateRequest.validate_only": lambda c: _entered(c.state.user("u").batch(validate_only=True)),
    "DispatchActionRequest.validate_only": lambda c: c.flows.validate("f", "a"),
    "GetStateRequest.paths": lambda c: c.state.user("u").get(paths=["/a"]),
    "ListEventsRequest.filter": lambda c: c.flows.handle("r").list_events(types=["status"]).first(),
    "ListEventsRequest.session_id": lambda c: c.sessions.list_events("s").first(),
    "ListSessionsRequest.active_after": lambda c: c.sessions.list(active_after=NOW).first(),
    "ListSessionsRequest.include_total": lambda c: c.sessions.list(include_total=True).first(),
    "ListSessionsRequest.metadata": lambda c: c.sessions.list(metadata={"a": 1}).first(),
    "ListSessionsRequest.org_id": lambda c: c.sessions.list(org_id="o").first(),
    "ListSessionsRequest.tags": lambda c: c.sessions.list(tags=["a"]).first(),
    "Precondition.incarnation": lambda c: c.state.user("u").at(StateWrite(1, True, "i")).inc_state(a=1),
    "ScopeRef.isolated": lambda c: c.state.user("u", flow_kind="f", isolated=True).get(),
    "StateMutation.resource": lambda c: c.resources.user("u")["r"].inc_state(a=1),
    "StateOp.test": _test,
    "StreamActionRequest.filter": lambda c: anext(c.flows.stream("f", "a", types=["status"])),
    "TailEventsRequest.filter": lambda c: anext(c.flows.handle("r").events(types=["status"])),
    "TailEventsRequest.session_id": lambda c: anext(c.sessions.events("s")),
}


async def _entered(batch: Any) -> None:
    async with batch:
        batch.inc_state(a=1)


def test_the_fields_are_those_of_the_server() -> None:
    assert set(features.OPTIONAL_FIELDS) == OPTIONAL_FIELDS == set(CALLS)


@pytest.mark.parametrize("feature", CALLS)
async def test_a_field_that_an_older_server_would_ignore_is_not_sent(
    server: FakeServer, client: FlowStateClient, feature: str
) -> None:
    server.server.capabilities = ["StateService/CommitState", *(OPTIONAL_FIELDS - {feature})]
    with pytest.raises(FeatureUnavailable) as caught:
        await _made(CALLS[feature], client)
    assert (caught.value.feature, caught.value.server_version) == (feature, "0.9.0")
    assert str(caught.value).endswith(f"{feature} is not served; server version 0.9.0")
    sent = [server.sessions.seen, server.flows.seen, server.state.seen, server.events.requests]
    assert not any(sent)


async def test_the_server_is_asked_once_and_only_where_it_matters(
    server: FakeServer, client: FlowStateClient
) -> None:
    await client.state.user("u").patch_state(a=1)
    await client.sessions.list(user_id="u1").first()
    assert server.server.calls == 0
    for _ in range(3):
        await client.sessions.list(tags=["a"]).first()
    assert server.server.calls == 1


async def test_a_stream_waits_for_a_server_that_cannot_be_asked(
    server: FakeServer, client: FlowStateClient
) -> None:
    async def cut(request: Any, context: Any) -> None:
        if server.server.calls < 3:
            await refuse(context, grpc.StatusCode.CANCELLED)

    server.server.before = cut
    await server.events.log.append("a")
    event = await anext(client.flows.handle("req_1").events(types=["item.delta"]))
    assert isinstance(event, ItemDelta)
    assert server.server.calls == 3
