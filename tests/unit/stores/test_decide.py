"""What a group's batches are answered and what they change, where no store can bring it about."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flowstate_server.errors import (
    LeaseLostError,
    RequestTerminalError,
    SessionAlreadyExistsError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange
from flowstate_server.model.events import EventType
from flowstate_server.model.json_values import JsonObject, decode_json
from flowstate_server.model.records import (
    IdempotencyKey,
    Outcome,
    ProcessRecord,
    RequestHead,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.commit import decide as decided
from flowstate_server.stores.commit.decide import Answer, BrokenChange, Decision
from flowstate_server.stores.commit.working_set import RangeSpent, WorkingSet
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    OUTCOMES,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    TURNS,
    Loaded,
    Table,
)
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    Batch,
    Changed,
    ChangeState,
    CommitResult,
    DeleteState,
    FenceProcess,
    PutIdempotencyKey,
    RenewLease,
    RequestCancel,
    RequireRun,
    RequireSession,
    SessionChanged,
    UpdateSession,
    Write,
)
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    finish,
    increment,
    new_request,
    new_session,
    note,
    put,
)

TABLES: dict[str, Table[Any, Any]] = {
    "sessions": SESSIONS,
    "processes": PROCESSES,
    "states": STATES,
    "state_heads": STATE_HEADS,
    "documents": DOCUMENTS,
}
NOW: Micros = 1_000_000
SESSION = SessionKey("t", "session-1")
REQUEST = RequestKey("t", "request-1")
ADA = user_scope("ada")
KEY = IdempotencyKey("", "p", "m", "k")


def loaded(*, ranges: dict[DocumentRange, list[Document]] | None = None, **changes: object) -> Loaded:
    """A running request in a live session, and what the table of each name holds instead."""
    session = SessionRecord(SESSION, "log", "chat", "ada", "", ephemeral=False, create_time=1, update_time=1)
    head = RequestHead(
        key=REQUEST,
        session=SESSION,
        session_log_id="log",
        log_id="request-log",
        user_id="ada",
        fingerprint="print",
        process=PROCESS,
        status=RequestStatus.IN_PROGRESS,
        create_time=1,
        sequence=4,
    )
    records: dict[Table[Any, Any], Any] = {
        SESSIONS: {SESSION: session},
        SESSION_HEADS: {SESSION: SessionHead(SESSION, "log", 7, 2, 5)},
        REQUEST_HEADS: {REQUEST: head},
        PROCESSES: {PROCESS: ProcessRecord(PROCESS, lease=100, renew_time=NOW)},
    }
    records |= {TABLES[name]: rows for name, rows in changes.items()}
    return Loaded(NOW, records, ranges or {})


def deleted_session() -> dict[SessionKey, SessionRecord]:
    return {SESSION: replace(loaded().of(SESSIONS)[SESSION], delete_time=9)}


def decide(batches: list[Batch], records: Loaded | None = None) -> Decision:
    return decided(batches, records or loaded())


def ok(answer: Answer) -> CommitResult:
    assert isinstance(answer, CommitResult), answer
    return answer


def refusal(*writes: Write, records: Loaded | None = None) -> Exception:
    """The error of a batch that is refused and leaves no trace."""
    [answer], changes = decide([writes], records)
    assert isinstance(answer, Exception)
    assert changes.empty
    return answer


def test_pure() -> None:
    records = loaded()
    before = copy.deepcopy(records)
    batches: list[Batch] = [
        (RequireRun(REQUEST, PROCESS), AppendEvents(SESSION, (note(),), REQUEST)),
        (UpdateSession(SESSION, {"title": "t"}),),
        (finish(REQUEST),),
    ]
    assert decide(batches, records) == decide(batches, records)
    assert records == before


def test_places_continue_from_the_heads() -> None:
    appends = AppendEvents(SESSION, (note("a"), note("b")), REQUEST)
    _, changes = decide([(appends,), (AppendEvents(SESSION, (note("c"),)),), (appends,)])
    places = [(event.session_sequence, event.sequence, event.request_id) for event in changes.events]
    assert places == [
        (8, 5, "request-1"),
        (9, 6, "request-1"),
        (10, 0, ""),
        (11, 7, "request-1"),
        (12, 8, "request-1"),
    ]
    assert changes.changed_of(SESSION_HEADS) == [SessionHead(SESSION, "log", 12, 2, NOW)]
    [head] = changes.changed_of(REQUEST_HEADS)
    assert head.sequence == 8


def test_refused_batch_leaves_no_hole() -> None:
    good = (AppendEvents(SESSION, (note(),), REQUEST),)
    bad = (*good, increment(ADA), replace(increment(ADA), precondition=AtVersion(9)))
    answers, changes = decide([good, bad, good])
    assert isinstance(answers[1], VersionMismatchError)
    assert answers[1].refused_write == 2
    assert [event.session_sequence for event in changes.events] == [8, 9]
    assert changes.new_of(STATES) == []
    assert changes.topics == [Topic(TopicKind.REQUEST, *REQUEST), Topic(TopicKind.SESSION, *SESSION)]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_refuses_its_batch_alone(error: type[BaseException]) -> None:
    def change(record: StateRecord) -> Changed:
        raise error

    good = (increment(user_scope("other")),)
    answers, changes = decide([good, (increment(ADA), ChangeState(ADA, change)), good])
    assert isinstance(answers[1], BrokenChange)
    assert isinstance(answers[1].__cause__, error)
    assert [state.version for state in changes.new_of(STATES)] == [2]


def test_stops_when_the_time_is_over() -> None:
    batches = [(increment(ADA),)] * 3
    answers, changes = decided(batches, loaded(), seconds=0)
    assert len(answers) == 1
    assert [state.version for state in changes.new_of(STATES)] == [1]


def test_each_record_is_changed_once() -> None:
    stored = StateRecord(ADA, version=3, incarnation="i", exists=True, text=b'{"n":3}', create_time=2)
    _, changes = decide([(increment(ADA),), (increment(ADA),)], loaded(states={ADA: stored}))
    [state] = changes.changed_of(STATES)
    assert (state.version, state.text, state.incarnation) == (5, b'{"n":5}', "i")
    assert (state.create_time, state.update_time) == (2, NOW)
    assert changes.new_of(STATES) == []


def test_state_is_not_parsed_again() -> None:
    value: JsonObject = {"n": 1}

    def first(record: StateRecord) -> Changed:
        return Changed(value, b"not even JSON")

    seen: list[object] = []

    def second(record: StateRecord) -> Changed:
        seen.append(record.state)
        return Changed({}, b"{}")

    answers, _ = decide([(ChangeState(ADA, first),), (ChangeState(ADA, second),)])
    assert seen == [value]
    state = ok(answers[0]).results[0].state
    assert state is not None
    assert state.state is value


def test_deleted_session_takes_no_writes() -> None:
    records = loaded(sessions=deleted_session())
    writes: tuple[Write, ...] = (
        AppendEvents(SESSION, (note(),)),
        AppendEvents(SESSION, (note(),), REQUEST),
        UpdateSession(SESSION, {"title": "t"}),
        put(session_scope(SESSION), {}),
        replace(put(ADA, {}, note()), request=REQUEST),
        new_request(SESSION, "new"),
        RequireSession(SESSION, "log"),
        finish(REQUEST),
    )
    for write in writes:
        error = refusal(write, records=records)
        assert isinstance(error, SessionNotFoundError), write
        assert error.session_id == "session-1"


def test_deleted_session_is_made_anew_only_on_purpose() -> None:
    records = loaded(sessions=deleted_session())
    create = replace(new_session("session-1", tenant="t"), log_id="second")
    assert isinstance(refusal(create, records=records), SessionNotFoundError)
    answers, changes = decide([(replace(create, exclusive=True),)], records)
    [session] = changes.changed_of(SESSIONS)
    assert (session.log_id, session.version, session.deleted) == ("second", 1, False)
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
        assert isinstance(refusal(write, records=records), SessionNotFoundError)


def test_end_removes_the_request_scope_if_there_is_one() -> None:
    scope = request_scope(REQUEST)
    _, changes = decide([(finish(REQUEST),)])
    assert changes.removed_of(STATES) == []
    heads: dict[ScopeKey, StateHead] = {scope: StateHead(scope, 3, "i", exists=True)}
    _, changes = decide([(finish(REQUEST),)], loaded(state_heads=heads))
    assert changes.removed_of(STATES) == [scope]
    stored = {scope: StateRecord(scope, 3, "i", exists=True)}
    _, changes = decide([(increment(scope), finish(REQUEST))], loaded(states=stored))
    assert changes.removed_of(STATES) == [scope]
    assert changes.changed_of(STATES) == []
    _, changes = decide([(increment(scope), finish(REQUEST))])
    states = [changes.removed_of(STATES), changes.new_of(STATES), changes.changed_of(STATES)]
    assert states == [[], [], []]


def test_end_names_the_versions_of_its_own_commit() -> None:
    org, session = org_scope("acme"), session_scope(SESSION)
    heads: dict[ScopeKey, StateHead] = {
        org: StateHead(org, 6, "i", exists=False),
        ADA: StateHead(ADA, 1, "i", exists=True),
    }
    states = {ADA: StateRecord(ADA, 1, "i", exists=True)}
    end = replace(finish(REQUEST, (session, ADA, org, request_scope(REQUEST))), payload={"elapsed": 3})
    _, changes = decide([(increment(ADA), end)], loaded(state_heads=heads, states=states))
    payload = decode_json(changes.events[-1].event.payload)
    assert payload == {"elapsed": 3, "scope_versions": {"session": 0, "user": 2, "org": 6}}


def test_end_counts_a_turn() -> None:
    _, changes = decide([(finish(REQUEST),)])
    [head] = changes.changed_of(REQUEST_HEADS)
    assert (head.sequence, head.end_time, head.process) == (5, NOW, PROCESS)
    assert changes.changed_of(SESSION_HEADS) == [SessionHead(SESSION, "log", 8, 3, NOW)]
    assert changes.new_of(TURNS) == [TurnRecord(TurnKey(SESSION, "log", 3), "request-1")]
    assert changes.new_of(OUTCOMES) == [Outcome(REQUEST, b'"done"', None)]
    _, changes = decide([(finish(REQUEST, status=RequestStatus.ABORTED),)])
    assert (changes.new_of(TURNS), changes.changed_of(SESSION_HEADS)[0].turns) == ([], 2)


def test_request_of_one_group_is_whole_in_its_record() -> None:
    create = new_request(SESSION, "new")
    append = AppendEvents(SESSION, (note(),), create.key)
    answers, changes = decide([(create, append), (finish(create.key),), (append,)])
    assert isinstance(answers[2], RequestTerminalError)
    [request] = changes.new_of(REQUESTS)
    assert (request.head.sequence, request.head.status) == (2, RequestStatus.COMPLETED)
    assert changes.new_of(OUTCOMES) == [Outcome(create.key, b'"done"')]
    assert [turn.key.number for turn in changes.new_of(TURNS)] == [3]
    assert not changes.changed_of(REQUEST_HEADS)


@pytest.mark.parametrize(
    ("status", "event"),
    [(RequestStatus.IN_PROGRESS, finish(REQUEST).event), (RequestStatus.FAILED, note().type)],
)
def test_end_is_an_end(status: RequestStatus, event: EventType) -> None:
    assert isinstance(refusal(replace(finish(REQUEST), status=status, event=event)), ValueError)


def test_topics() -> None:
    scene: list[tuple[Batch, set[Topic]]] = [
        ((RequestCancel(REQUEST, "why"),), {_topic("request"), Topic(TopicKind.PROCESS, "", PROCESS)}),
        ((AppendEvents(SESSION, (note(),), REQUEST),), {_topic("request"), _topic("session")}),
        ((put(session_scope(SESSION), {}),), {_topic("session")}),
        ((put(request_scope(REQUEST), {}),), set()),
        ((put(user_scope("u", isolated_flow="f"), {}),), {Topic(TopicKind.USER, "", "u")}),
        ((put(org_scope("o"), {}),), {Topic(TopicKind.ORG, "", "o")}),
        ((RenewLease(PROCESS, 5),), set()),
        ((RequireRun(REQUEST, PROCESS), RequireSession(SESSION, "log"), DeleteState(ADA)), set()),
    ]
    for batch, topics in scene:
        answers, changes = decide([batch])
        assert isinstance(answers[0], CommitResult), answers
        assert set(changes.topics) == topics, batch
        assert len(changes.topics) == len(topics)
    expired = loaded(processes={PROCESS: ProcessRecord(PROCESS, 0, NOW)})
    _, changes = decide([(FenceProcess(PROCESS, NOW),)], expired)
    assert changes.topics == [Topic(TopicKind.PROCESS, "", PROCESS)]


def _topic(kind: str) -> Topic:
    return Topic(TopicKind.REQUEST, *REQUEST) if kind == "request" else Topic(TopicKind.SESSION, *SESSION)


def test_lease_expires_to_the_microsecond() -> None:
    for lease, over in ((0, True), (1, False)):
        records = loaded(processes={PROCESS: ProcessRecord(PROCESS, lease, NOW)})
        [answer], _ = decide([(FenceProcess(PROCESS, NOW),)], records)
        assert isinstance(answer, LeaseLostError) != over


def test_remembered_key_is_replaced_when_it_expired() -> None:
    write = PutIdempotencyKey(KEY, "print", 10)
    for expire_time, replayed in ((NOW, False), (NOW + 1, True)):
        remembered = _remembered(b'["print",[["x",5,false,"id-1"],["",0,true]]]', expire_time)
        answers, changes = decide([(increment(ADA), write)], loaded(documents={remembered.key: remembered}))
        answer = ok(answers[0])
        assert answer.replayed is replayed
        assert len(changes.changed_of(DOCUMENTS)) == (not replayed)
        assert changes.new_of(DOCUMENTS) == []
        if replayed:
            assert [(one.id, one.version, one.changed, one.ids) for one in answer.results] == [
                ("x", 5, False, ("id-1",)),
                ("", 0, True, ()),
            ]
            assert changes.empty


def _remembered(text: bytes, expire_time: Micros) -> Document:
    return Document(
        key=KEY.document,
        version=1,
        incarnation="i",
        text=text,
        create_time=1,
        update_time=1,
        expire_time=expire_time,
    )


def test_repeat_is_looked_up_before_any_other_write() -> None:
    remembered = _remembered(b'["print",[]]', NOW + 1)
    impossible = RequireSession(SessionKey("", "none"), "log")
    records = loaded(documents={remembered.key: remembered})
    answers, _ = decide([(impossible, PutIdempotencyKey(KEY, "print", 1))], records)
    assert ok(answers[0]).replayed
    repeat = replace(new_request(SESSION), process="gone")
    answers, changes = decide([(impossible, repeat)])
    assert ok(answers[0]).attached == loaded().of(REQUEST_HEADS)[REQUEST]
    assert changes.empty


def test_unknown_session_field() -> None:
    assert isinstance(refusal(UpdateSession(SESSION, {"user_id": "eve"})), ValueError)


def test_session_records_are_not_deleted_as_states() -> None:
    assert isinstance(refusal(DeleteState(session_scope(SESSION))), ValueError)


NAMES = [DocumentKey(STORE_OWNER, "kind", (name,)) for name in "abcd"]
OLDEST = DocumentRange(STORE_OWNER, "kind", limit=2)


def _document(key: DocumentKey) -> Document:
    return Document(key=key, version=1, incarnation="i", text=b"1", create_time=1, update_time=1)


def _range(records: Loaded, *batches: Callable[[WorkingSet], None]) -> list[str]:
    """The range after some batches."""
    work = WorkingSet(records)
    for batch in batches:
        batch(work)
        work.keep()
    return [document.key.name[0] for document in work.range(OLDEST)]


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
