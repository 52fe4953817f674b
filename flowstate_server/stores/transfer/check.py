"""Judging what a store keeps: whether its records fit each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.records import RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.naming import named
from flowstate_server.stores.transfer.pages import event_pages, request_pages, session_pages, state_pages

UNREADABLE = "what is stored can't be understood"


@dataclass(slots=True)
class _Log:
    """What was seen of a request's log: its newest event, and how many of them end it."""

    newest: int = 0
    ends: int = 0


@dataclass(slots=True)
class _Seen:
    """A session's events, seen in order."""

    stored: StoredSession
    newest: int = 0
    logs: dict[str, _Log] = field(default_factory=dict)

    def problems_with(self, record: EventRecord) -> list[str]:
        problems = []
        if record.session_sequence <= self.newest:
            problems.append(f"event {record.session_sequence} comes after event {self.newest}")
        self.newest = record.session_sequence
        if record.request_id:
            log = self.logs.setdefault(record.request_id, _Log())
            if record.sequence <= log.newest:
                problems.append(
                    f"event {record.sequence} of request {record.request_id} comes after {log.newest}"
                )
            if log.ends:
                problems.append(f"request {record.request_id} goes on after its end")
            log.newest = record.sequence
            log.ends += record.event.type.terminal
        elif record.sequence:
            problems.append(f"event {record.session_sequence} is of a request that is not there")
        if record.event.type is EventType.ITEM_DONE and record.event.item is None:
            problems.append(f"event {record.session_sequence} has lost its item")
        if not _is_json(record.event.payload):
            problems.append(f"event {record.session_sequence} holds no JSON")
        return problems


async def check_store(store: Store) -> AsyncIterator[str]:
    """Problems of a store that nobody serves, one line each; none: its records fit each other.

    Looked at: that records can be understood, the order of every log, its end and its head, requests and the sessions
    and processes they name, turns, and that states are JSON objects with versions. One damaged record may cause more
    than one line: what it would have to fit is found alone.

    Raises:
        TypeError: the store does not export.
    """
    if not isinstance(store, Exporting):
        raise TypeError("the store can't be checked: it does not export")
    processes = {record.process for record in await store.read_processes()}
    damaged: list[DamagedRecord] = []
    logs: dict[RequestKey, _Log] = {}
    turns: dict[SessionKey, int] = {}
    async for sessions in session_pages(store, on_damage=damaged.append):
        for stored in sessions:
            turns[stored.key] = stored.head.turns
            async for problem in _log_problems(store, stored, logs):
                yield f"{named(stored.key)}: {problem}"
    completed: dict[SessionKey, int] = {}
    async for requests in request_pages(store, on_damage=damaged.append):
        for request in requests:
            completed[request.head.session] = completed.get(request.head.session, 0) + (request.head.turn > 0)
            for problem in _request_problems(request, logs.pop(request.key, _Log()), turns, processes):
                yield f"{named(request.key)}: {problem}"
    async for states in state_pages(store, on_damage=damaged.append):
        for state in states:
            for problem in _state_problems(state, turns):
                yield f"{named(state.key)}: {problem}"
    for damage in damaged:
        if isinstance(damage.key, RequestKey):
            logs.pop(damage.key, None)
        yield f"{named(damage.key)}: {UNREADABLE}"
    for key in logs:
        yield f"{named(key)}: has events but no record"
    for session, count in turns.items():
        if count != completed.get(session, 0):
            yield f"{named(session)}: counts {count} turns, {completed.get(session, 0)} are there"


async def _log_problems(
    store: Exporting, stored: StoredSession, logs: dict[RequestKey, _Log]
) -> AsyncIterator[str]:
    seen = _Seen(stored)
    damaged: list[DamagedRecord] = []
    async for page in event_pages(store, stored.key, stored.record.log_id, on_damage=damaged.append):
        for record in page:
            for problem in seen.problems_with(record):
                yield problem
    for damage in damaged:
        yield f"{named(damage.key)}: {UNREADABLE}"
    if seen.newest > stored.head.sequence:
        yield f"its log goes to {seen.newest}, its counter only to {stored.head.sequence}"
    logs.update({RequestKey(stored.key.tenant, request): log for request, log in seen.logs.items()})


def _request_problems(
    request: RequestRecord, log: _Log, turns: dict[SessionKey, int], processes: set[str]
) -> list[str]:
    head = request.head
    problems = []
    if head.session not in turns:
        problems.append("its session is missing")
    if log.newest > head.sequence:
        problems.append(f"its log goes to {log.newest}, its counter only to {head.sequence}")
    if head.status.ended:
        if not log.ends or log.newest != head.sequence:
            problems.append("it has ended, its log has not")
    elif log.ends:
        problems.append("its log has ended, it has not")
    elif head.process not in processes:
        problems.append("it runs on a process that is not there")
    if not _is_json(request.input) or (request.output is not None and not _is_json(request.output)):
        problems.append("its input or output is no JSON")
    return problems


def _state_problems(state: StateRecord, sessions: dict[SessionKey, int]) -> list[str]:
    problems = []
    if state.version < 1:
        problems.append("it has no version")
    try:
        if not isinstance(decode_json(state.text), dict):
            problems.append("it is no JSON object")
    except ValueError:
        problems.append("it is no JSON")
    if state.key.kind is ScopeKind.SESSION and SessionKey(state.key.tenant, state.key.id) not in sessions:
        problems.append("its session is missing")
    return problems


def _is_json(text: bytes) -> bool:
    try:
        decode_json(text)
    except ValueError:
        return False
    return True
