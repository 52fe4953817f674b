"""Sessions that are deleted, made anew, or another incarnation by now."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    RequestNotFoundError,
    SessionAlreadyExistsError,
    SessionNotFoundError,
)
from flowstate_server.model.records import (
    SessionHead,
)
from flowstate_server.model.scopes import (
    session_scope,
)
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.tables import (
    SESSION_HEADS,
    SESSIONS,
)
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    DeleteState,
    RequestCancel,
    RequireRun,
    RequireSession,
    SessionChanged,
    UpdateSession,
    Write,
)
from flowstate_server.testing.store_contract.builders import (
    finish,
    new_request,
    new_session,
    note,
    put,
)
from tests.unit.stores.groups import (
    ADA,
    NOW,
    REQUEST,
    SESSION,
    decide,
    deleted_session,
    loaded,
    ok,
    refusal,
)


def test_deleted_session_takes_no_writes() -> None:
    records = loaded(sessions=deleted_session())
    writes: tuple[Write, ...] = (
        AppendEvents(SESSION, (note(),)),
        UpdateSession(SESSION, {"title": "t"}),
        put(session_scope(SESSION), {}),
        new_request(SESSION, "new"),
        RequireSession(SESSION, "log"),
        DeleteSession(SESSION),
    )
    for write in writes:
        error = refusal(write, records=records)
        assert isinstance(error, SessionNotFoundError), write
        assert error.session_id == "session-1"


def test_request_of_a_deleted_session_is_one_that_never_was() -> None:
    records = loaded(sessions=deleted_session())
    writes: tuple[Write, ...] = (
        AppendEvents(SESSION, (note(),), REQUEST),
        replace(put(ADA, {}, note()), request=REQUEST),
        RequestCancel(REQUEST, "why"),
        RequireRun(REQUEST, None),
        finish(REQUEST),
        new_request(SESSION, REQUEST.request_id),
    )
    for write in writes:
        error = refusal(write, records=records)
        assert isinstance(error, RequestNotFoundError), write
        assert error.request_id == REQUEST.request_id


def test_deleted_session_is_made_anew_only_on_purpose() -> None:
    records = loaded(sessions=deleted_session())
    create = replace(new_session("session-1", tenant="t"), log_id="second")
    assert isinstance(refusal(create, records=records), SessionNotFoundError)
    answers, changes = decide([(replace(create, exclusive=True),)], records)
    [session] = changes.changed_of(SESSIONS)
    assert (session.log_id, session.version, session.deleted) == ("second", 2, False)
    assert changes.changed_of(SESSION_HEADS) == [SessionHead(SESSION, "second", 0, 0, NOW)]
    assert not changes.new_of(SESSIONS)
    assert not changes.new_of(SESSION_HEADS)
    assert ok(answers[0]).results[0].session == session


def test_live_session_is_not_made_anew() -> None:
    create = new_session("session-1", tenant="t")
    assert isinstance(refusal(create), SessionChanged)
    assert isinstance(refusal(replace(create, exclusive=True)), SessionAlreadyExistsError)


def test_request_of_an_earlier_incarnation_writes_nothing() -> None:
    session = replace(loaded().of(SESSIONS)[SESSION], log_id="second")
    records = loaded(sessions={SESSION: session})
    for write in (
        AppendEvents(SESSION, (note(),), REQUEST),
        replace(put(ADA, {}, note()), request=REQUEST),
        finish(REQUEST),
    ):
        assert isinstance(refusal(write, records=records), RequestNotFoundError)


def test_unknown_session_field() -> None:
    assert isinstance(refusal(UpdateSession(SESSION, {"user_id": "eve"})), ValueError)


def test_session_records_are_not_deleted_as_states() -> None:
    assert isinstance(refusal(DeleteState(session_scope(SESSION))), ValueError)
