"""Which records batches read."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import IdempotencyKey, RequestStatus
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.commit.meanings import MEANINGS, needs_of
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    PROCESSES,
    REQUEST_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
)
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

SESSION = SessionKey(Tenant("t"), "session-1")
REQUEST = RequestKey(Tenant("t"), "request-1")
ADA = user_scope("ada")
KEY = IdempotencyKey(NO_TENANT, "p", "m", "k")


def test_every_write_is_known() -> None:
    shipped = {
        write for write in Write.__subclasses__() if write.__module__.startswith("flowstate_server.stores")
    }
    assert set(MEANINGS) == shipped


def test_needs() -> None:
    needs = needs_of(
        (
            RequireRun(REQUEST, "p1"),
            new_session("new"),
            ChangeState(ADA, lambda record: Changed({}, b"{}"), request=RequestKey(NO_TENANT, "other")),
            put(session_scope(SESSION), {}),
            put(request_scope(RequestKey(NO_TENANT, "own")), {}),
            FinishRequest(REQUEST, RequestStatus.FAILED, finish(REQUEST).event, {}, (ADA,), swept="p2"),
            new_request(SESSION, "created", load=(org_scope("acme"),)),
            PutIdempotencyKey(KEY, "", Micros(1)),
            FenceProcess("p3", Micros(1)),
        )
    )
    assert needs.of(SESSIONS) == {SessionKey(NO_TENANT, "new"), SESSION}
    created = RequestKey(Tenant("t"), "created")
    assert needs.of(REQUEST_HEADS) == {
        REQUEST,
        RequestKey(NO_TENANT, "other"),
        RequestKey(NO_TENANT, "own"),
        created,
    }
    own = request_scope(RequestKey(NO_TENANT, "own"))
    assert needs.of(STATES) == {ADA, session_scope(SESSION), own, org_scope("acme")}
    assert needs.of(STATE_HEADS) == {request_scope(REQUEST), ADA}
    assert needs.of(PROCESSES) == {"p1", "p2", "p3", PROCESS}
    assert needs.of(DOCUMENTS) == {KEY.document}
