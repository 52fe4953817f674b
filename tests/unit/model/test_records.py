"""Records that are copied by hand, because ``dataclasses.replace`` takes longer."""

from __future__ import annotations

from dataclasses import fields, replace

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import Failure, RequestHead, RequestRecord, RequestStatus, moved_on
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope

SESSION = SessionKey(NO_TENANT, "s")
HEAD = RequestHead(
    RequestKey(NO_TENANT, "r"), SESSION, "l", "m", "u", "f", "p", RequestStatus.IN_PROGRESS, Micros(1)
)
RECORD = RequestRecord(
    HEAD, "flow", "action", "org", (session_scope(SESSION),), b"{}", Micros(2), "trace", "call"
)


def test_a_record_that_moved_on_keeps_the_rest() -> None:
    head = replace(HEAD, status=RequestStatus.FAILED, sequence=7)
    failure = Failure("BROKEN", "it broke")
    expected = replace(RECORD, head=head, output=b"1", failure=failure, reason="so")
    assert moved_on(RECORD, head, output=b"1", failure=failure, reason="so") == expected
    assert all(getattr(RECORD, one.name) for one in fields(RECORD) if one.name not in _OUTCOME)


_OUTCOME = {"output", "failure", "reason"}
