"""Which records batches read."""

from __future__ import annotations

from typing import get_args

from flowstate_server.model.records import IdempotencyKey, RequestStatus
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.commit.decide import _WRITES
from flowstate_server.stores.commit.needs import _NEEDS, needs_of
from flowstate_server.stores.contract.writes import (
    Changed,
    ChangeState,
    FenceProcess,
    FinishRequest,
    PutIdempotencyKey,
    RequireRun,
    Write,
)
from flowstate_server.testing.store_contract.builders import PROCESS, finish, new_request, new_session, put

SESSION = SessionKey("t", "session-1")
REQUEST = RequestKey("t", "request-1")
ADA = user_scope("ada")
KEY = IdempotencyKey("", "p", "m", "k")


def test_every_write_is_known() -> None:
    assert set(_WRITES) == set(_NEEDS) == set(get_args(Write))


def test_needs() -> None:
    needs = needs_of(
        (
            RequireRun(REQUEST, "p1"),
            new_session("new"),
            ChangeState(ADA, lambda record: Changed({}, b"{}"), request=RequestKey("", "other")),
            put(session_scope(SESSION), {}),
            put(request_scope(RequestKey("", "own")), {}),
            FinishRequest(REQUEST, RequestStatus.FAILED, finish(REQUEST).event, {}, (ADA,), swept="p2"),
            new_request(SESSION, "created", load=(org_scope("acme"),)),
            PutIdempotencyKey(KEY, "", 1),
            FenceProcess("p3", 1),
        )
    )
    assert needs.sessions == {SessionKey("", "new"), SESSION}
    created = RequestKey("t", "created")
    assert needs.requests == {REQUEST, RequestKey("", "other"), RequestKey("", "own"), created}
    own = request_scope(RequestKey("", "own"))
    assert needs.states == {ADA, session_scope(SESSION), own, org_scope("acme")}
    assert needs.state_heads == {request_scope(REQUEST), ADA}
    assert needs.processes == {"p1", "p2", "p3", PROCESS}
    assert needs.idempotency_keys == {KEY}
