"""Common writes and batches for the checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.payloads import Custom
from flowstate_server.model.records import RequestHead, RequestRecord, RequestStatus, StateRecord
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Changed,
    ChangeState,
    CommitResult,
    CreateRequest,
    CreateSession,
    FinishRequest,
    ImportRecords,
    RenewLease,
    RequireRun,
    Write,
)
from flowstate_server.stores.store import Store

Record = TypeVar("Record")

PROCESS = "process-1"
USER = "ada"
LEASE: Micros = Micros(60 * SECOND)
FOR_CLIENTS = frozenset((Audience.CLIENT,))


@dataclass(frozen=True)
class Scene:
    """A running request in a session."""

    store: Store
    session: SessionKey
    request: RequestKey
    scopes: tuple[ScopeKey, ...]

    async def commit(self, *writes: Write) -> CommitResult:
        """A batch of the run."""
        return await self.store.commit((RequireRun(self.request, PROCESS), *writes))

    async def append(self, *events: Event) -> CommitResult:
        return await self.commit(AppendEvents(self.session, events, self.request))

    async def finish(
        self, status: RequestStatus = RequestStatus.COMPLETED, payload: JsonObject | None = None
    ) -> CommitResult:
        return await self.commit(finish(self.request, self.scopes, status=status, payload=payload))


async def open_scene(
    store: Store,
    session_id: str = "session-1",
    request_id: str = "request-1",
    *,
    tenant: str = "",
    user: str = USER,
    process: str = PROCESS,
) -> Scene:
    """Commits a process, a session and a request in progress; any of them may be there, but the request."""
    session = SessionKey(Tenant(tenant), session_id)
    writes: list[Write] = [RenewLease(process, LEASE, start=True)]
    if await store.get_session(session) is None:
        writes.append(new_session(session_id, tenant=tenant, user=user))
    create = new_request(session, request_id, user=user, process=process)
    await store.commit((*writes, create))
    return Scene(store, session, create.key, create.scopes)


def new_session(
    session_id: str = "session-1",
    *,
    tenant: str = "",
    user: str = USER,
    org: str = "",
    exclusive: bool = False,
) -> CreateSession:
    key = SessionKey(Tenant(tenant), session_id)
    return CreateSession(key, f"log-{session_id}"[:40], "chat", user, org_id=org, exclusive=exclusive)


def new_request(
    session: SessionKey,
    request_id: str = "request-1",
    *,
    user: str = USER,
    fingerprint: str = "print",
    process: str = PROCESS,
    load: tuple[ScopeKey, ...] = (),
) -> CreateRequest:
    return CreateRequest(
        key=RequestKey(session.tenant, request_id),
        session=session,
        log_id="request-log",
        user_id=user,
        org_id="",
        fingerprint=fingerprint,
        process=process,
        flow_kind="chat",
        action="say",
        scopes=(session_scope(session), user_scope(user)),
        input=b'{"message":"hello"}',
        load=load,
    )


ENDS = {
    RequestStatus.COMPLETED: EventType.REQUEST_COMPLETED,
    RequestStatus.FAILED: EventType.REQUEST_FAILED,
    RequestStatus.ABORTED: EventType.REQUEST_ABORTED,
    RequestStatus.INTERRUPTED: EventType.REQUEST_INTERRUPTED,
}


def finish(
    request: RequestKey,
    scopes: tuple[ScopeKey, ...] = (),
    *,
    status: RequestStatus = RequestStatus.COMPLETED,
    payload: JsonObject | None = None,
    swept: str | None = None,
) -> FinishRequest:
    output = b'"done"' if status is RequestStatus.COMPLETED else None
    return FinishRequest(request, status, ENDS[status], payload or {}, scopes, output=output, swept=swept)


def put(key: ScopeKey, state: JsonObject, *events: Event) -> ChangeState:
    """Replace the state."""
    return ChangeState(key, lambda _: Changed(state, encode_json(state), events))


def increment(
    key: ScopeKey, field: str = "n", *, request: RequestKey | None = None, incarnation: str | None = None
) -> ChangeState:
    return ChangeState(key, incrementing(field), request=request, incarnation=incarnation)


def incrementing(field: str = "n") -> Callable[[StateRecord], Changed]:
    def change(record: StateRecord) -> Changed:
        state = {**record.state, field: number(record, field) + 1}
        return Changed(state, encode_json(state))

    return change


def number(record: StateRecord, field: str = "n") -> int:
    value = record.state.get(field, 0)
    assert isinstance(value, int)
    return value


def note(text: str = "", *, transient: bool = False) -> Event:
    """An event whose payload tells it from others."""
    return Event(EventType.CUSTOM, Custom("note", text).encode(), FOR_CLIENTS, transient=transient)


def item_done(item_id: str, index: int = 0, content: bytes = b'{"parts":[]}') -> Event:
    item = Item(item_id, ItemKind.MESSAGE, index, content, role="assistant")
    return Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item)


async def take_over(store: Store, table: Table[Any, Record], records: Sequence[Record]) -> None:
    """Put records into the store as they are, as a copy does."""
    key = DocumentKey(STORE_OWNER, "copy_place", (new_log_id(),))
    place = Document(
        key=key,
        version=1,
        incarnation="copy",
        text=b"{}",
        create_time=Micros(0),
        update_time=Micros(0),
        expire_time=Micros(1),
    )
    await store.commit((ImportRecords(place, None, table, records),))


async def state_of(store: Store, key: ScopeKey) -> StateRecord:
    return (await store.load_states((key,)))[key]


async def request_of(store: Store, key: RequestKey) -> RequestRecord:
    record = await store.get_request(key)
    assert record is not None, f"no request {key}"
    return record


async def head_of(store: Store, key: RequestKey) -> RequestHead:
    return (await request_of(store, key)).head


async def events_of(
    store: Store, log: LogKey, after: int = 0, *, limit: int = 100, max_bytes: int = 1 << 20
) -> list[EventRecord]:
    """Every event of a request's or session's log after the cursor, page by page."""
    events: list[EventRecord] = []
    while True:
        page = await store.read_events(log, after=after, limit=limit, max_bytes=max_bytes)
        assert page is not None, f"no log of {log}"
        assert len(page.events) <= limit
        events.extend(page.events)
        if page.end >= page.head.sequence:
            return events
        assert page.end > after, "a page that is not the last must get on"
        after = page.end
