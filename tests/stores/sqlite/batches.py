"""Small batches that the tests of the SQLite store share."""

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import RequestStatus, StateRecord
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    Changed,
    ChangeState,
    CreateRequest,
    CreateSession,
    FinishRequest,
    RenewLease,
    RequireRun,
)

CLIENT = frozenset((Audience.CLIENT,))
INTERNAL = frozenset((Audience.INTERNAL,))
LEASE = Micros(15_000_000)
SESSION = SessionKey(Tenant("acme"), "sess_1")
PROCESS = "proc_1"


def increment(record: StateRecord) -> Changed:
    count = record.state.get("n", 0)
    assert isinstance(count, int)
    state = {**record.state, "n": count + 1}
    return Changed(state, encode_json(state))


def add_one(user: str = "u1") -> Batch:
    return (ChangeState(user_scope(user), increment),)


def create_session(key: SessionKey = SESSION, log_id: str = "log-1", *, exclusive: bool = False) -> Batch:
    return (CreateSession(key, log_id, "chat", "u1", exclusive=exclusive),)


def start_process(process: str = PROCESS) -> Batch:
    return (RenewLease(process, LEASE, start=True),)


def create_request(request: RequestKey, session: SessionKey = SESSION, process: str = PROCESS) -> Batch:
    return (
        CreateRequest(
            request,
            session,
            log_id=f"log-{request.request_id}",
            user_id="u1",
            org_id="",
            fingerprint="f" * 64,
            process=process,
            flow_kind="chat",
            action="say",
            scopes=(session_scope(session), user_scope("u1")),
            input=b'{"message":"hello"}',
        ),
        AppendEvents(
            session, (event(EventType.REQUEST_CREATED), event(EventType.REQUEST_IN_PROGRESS)), request
        ),
    )


def emit(request: RequestKey, *events: Event, session: SessionKey = SESSION) -> Batch:
    return (RequireRun(request, PROCESS), AppendEvents(session, events, request))


def finish(request: RequestKey, session: SessionKey = SESSION) -> Batch:
    return (
        RequireRun(request, PROCESS),
        FinishRequest(
            request,
            RequestStatus.COMPLETED,
            EventType.REQUEST_COMPLETED,
            {"output": "done", "elapsed": 12345},
            scopes=(session_scope(session),),
            output=b'"done"',
        ),
    )


def event(kind: EventType, payload: bytes = b"{}", *, transient: bool = False) -> Event:
    return Event(kind, payload, CLIENT, transient)


def delta(text: str = "word ") -> Event:
    return event(EventType.ITEM_DELTA, encode_json({"item_id": "item_1", "text": text}), transient=True)


def item_done(item_id: str, content: bytes, index: int = 0) -> Event:
    item = Item(item_id, ItemKind.MESSAGE, index, content, role="assistant")
    return Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item)
