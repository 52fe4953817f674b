"""Every method called with the names of a house, and messages taken apart into the texts that they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    journal_service_pb2 as journals,
    server_service_pb2 as servers,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.events_pb2 import Item
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, Cursor, Precondition, RecordMeta, ScopeRef, Value
from flowstate_server.model.json_values import encode_json
from tests.support import attack_resources
from tests.support.contract import UNSERVED_METHODS
from tests.support.house import APART, KIND, House
from tests.support.raw_answers import new_request

Call = tuple[str, str, Message]
"""A name, the method, the request."""


def calls(house: House) -> Iterator[Call]:
    """All methods, each as often as it takes to name everything that it can name."""
    yield from _reads(house)
    yield from keyed_calls(house)
    yield from _writes(house)
    yield from _creations(house)
    for method in sorted(UNSERVED_METHODS):
        for owner in ("session_id", "request_id", "user_id", "org_id"):
            request = new_request(method)
            _fill(request, house, owner)
            yield f"{method} of {owner}", method, request


def spec(house: House, request_id: str, *, bare: bool = False) -> flows.ActionSpec:
    """``say`` in the house's session; ``bare`` names neither user nor org."""
    owner: dict[str, Any] = {} if bare else {"user_id": house.user, "org_id": house.org}
    said = Value(json=encode_json({"text": house.text}).decode())
    return flows.ActionSpec(
        flow_kind=KIND,
        action="say",
        input=said,
        session_id=house.session,
        request_id=request_id,
        **owner,
    )


def state_texts(house: House) -> Value:
    return Value(json=encode_json({"shown": house.text, "hidden": house.hidden}).decode())


def session(house: House, *, bare: bool = False, session_id: str = "") -> sessions.Session:
    owner: dict[str, Any] = {} if bare else {"user_id": house.user, "org_id": house.org}
    return sessions.Session(
        flow_kind=KIND,
        session_id=session_id,
        title=house.title,
        description=house.title,
        tags=[house.tag],
        metadata=Value(json=house.metadata),
        meta=RecordMeta(incarnation=house.incarnation),
        **owner,
    )


def _item(house: House) -> Item:
    content = {"parts": [{"type": "text", "text": house.text}]}
    return Item(
        kind="message",
        role="user",
        audiences=[AUDIENCE_CLIENT],
        content=Value(json=encode_json(content).decode()),
        item_id=house.item,
        request_id=house.ended,
    )


def _write(scope: ScopeRef, house: House, incarnation: str = "") -> states.StateMutation:
    mutation = states.StateMutation(scope=scope, ops=[states.StateOp(set=state_texts(house))])
    if incarnation:
        mutation.precondition.CopyFrom(Precondition(exists=True, incarnation=incarnation))
    return mutation


def keyed_calls(house: House) -> Iterator[Call]:
    """The writes that take an idempotency key. A house has made them, so that they are repeats to its owner."""
    key = house.key
    in_session = ScopeRef(session_id=house.session)
    apart = ScopeRef(org_id=house.org, flow_kind=APART, isolated=True)
    entry = journals.JournalEntry(text=house.text, source="walk", tags=[house.tag], request_id=house.ended)
    for bare in (False, True) if house.bound else (False,):
        yield (
            f"create{' by credentials' if bare else ''} with a key",
            "SessionService/CreateSession",
            sessions.CreateSessionRequest(
                session=session(house, bare=bare), idempotency_key=key if bare else key[::-1]
            ),
        )
    yield (
        "update with a key",
        "SessionService/UpdateSession",
        sessions.UpdateSessionRequest(
            session=sessions.Session(session_id=house.session, title=house.title),
            update_mask=FieldMask(paths=["title"]),
            precondition=Precondition(exists=True, incarnation=house.incarnation),
            idempotency_key=key,
        ),
    )
    yield (
        "append with a key",
        "SessionService/AppendItems",
        sessions.AppendItemsRequest(session_id=house.session, items=[_item(house)] * 2, idempotency_key=key),
    )
    yield (
        "remove with a key",
        "SessionService/RemoveItems",
        sessions.RemoveItemsRequest(session_id=house.session, newest=1, idempotency_key=key),
    )
    yield (
        "commit with a key",
        "StateService/CommitState",
        states.CommitStateRequest(mutations=[_write(in_session, house)], idempotency_key=key),
    )
    yield (
        "delete with a key",
        "StateService/DeleteState",
        states.DeleteStateRequest(scope=apart, idempotency_key=key),
    )
    yield (
        "note with a key",
        "JournalService/AppendJournal",
        journals.AppendJournalRequest(session_id=house.session, entries=[entry] * 2, idempotency_key=key),
    )
    yield from attack_resources.keyed(house)


def paged_calls(house: House) -> Iterator[Call]:
    """The lists that give page tokens, with the house's own."""
    for name, method, request in _lists(house):
        request.page_token = house.tokens.get(name, "")
        yield name, method, request


def _lists(house: House) -> Iterator[tuple[str, str, Any]]:
    yield "flows", "FlowService/ListFlows", flows.ListFlowsRequest(page_size=1)
    for name, org in (("sessions", house.org), ("sessions of any org", "")):
        found = sessions.ListSessionsRequest(
            flow_kind=KIND, user_id=house.user, org_id=org, tags=[house.tag], page_size=1, include_total=True
        )
        found.metadata["of"].json = encode_json(house.tag).decode()
        yield name, "SessionService/ListSessions", found
    for name, session_id in (("requests", ""), ("requests of a session", house.session)):
        yield (
            name,
            "FlowService/ListActionRequests",
            flows.ListActionRequestsRequest(
                session_id=session_id,
                user_id=house.user,
                org_id=house.org,
                flow_kind=KIND,
                page_size=1,
                with_payloads=True,
            ),
        )
    yield (
        "items",
        "SessionService/ListItems",
        sessions.ListItemsRequest(session_id=house.session, page_size=1),
    )
    yield (
        "journal",
        "JournalService/ListJournal",
        journals.ListJournalRequest(session_id=house.session, page_size=1),
    )
    yield from attack_resources.lists(house)


def _reads(house: House) -> Iterator[Call]:
    yield "info", "ServerService/GetServerInfo", servers.GetServerInfoRequest()
    yield "flow", "FlowService/GetFlow", flows.GetFlowRequest(flow_kind=KIND)
    yield from paged_calls(house)
    for name, method, request in _lists(house):
        yield f"first page of {name}", method, request
    get = sessions.GetSessionRequest(session_id=house.session)
    yield "session", "SessionService/GetSession", get
    snapshot = sessions.GetSnapshotRequest(session_id=house.session)
    yield "snapshot", "SessionService/GetSnapshot", snapshot
    watch = sessions.WatchSnapshotRequest(session_id=house.session)
    yield "watch", "SessionService/WatchSnapshot", watch
    listing = sessions.ListItemsRequest(session_id=house.session, request_id=house.ended)
    yield "items of a request", "SessionService/ListItems", listing
    for name, request_id in (("ended", house.ended), ("open", house.open)):
        got = flows.GetActionRequestRequest(request_id=request_id)
        yield f"{name} request", "FlowService/GetActionRequest", got
        wait = flows.WaitActionRequestRequest(request_id=request_id, timeout=Duration(nanos=1_000_000))
        yield f"wait for {name}", "FlowService/WaitActionRequest", wait
    logs: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("ended", {"request_id": house.ended}, house.log),
        ("open", {"request_id": house.open}, house.open_log),
        ("session", {"session_id": house.session}, house.session_log),
    )
    for name, log, log_id in logs:
        page = events.ListEventsRequest(**log, after_sequence=1)
        yield f"events of {name}", "EventService/ListEvents", page
        after = Cursor(log_id=log_id, sequence=1)
        tail = events.TailEventsRequest(**log, after=after, replay_only=True)
        yield f"tail of {name}", "EventService/TailEvents", tail
    scopes = [
        ScopeRef(session_id=house.session),
        ScopeRef(request_id=house.open),
        ScopeRef(user_id=house.user, flow_kind=KIND),
        ScopeRef(org_id=house.org, flow_kind=KIND),
        ScopeRef(user_id=house.user, flow_kind=APART, isolated=True),
    ]
    for number, scope in enumerate(scopes):
        yield f"state {number}", "StateService/GetState", states.GetStateRequest(scopes=[scope])
    yield from attack_resources.reads(house)


def _writes(house: House) -> Iterator[Call]:
    commit = "StateService/CommitState"
    in_session = _write(ScopeRef(session_id=house.session), house)
    own = _write(ScopeRef(user_id=house.user, flow_kind=KIND), house, house.of_user)
    team = _write(ScopeRef(org_id=house.org, flow_kind=KIND), house)
    in_request = _write(ScopeRef(request_id=house.open), house)
    yield "commit to a user", commit, states.CommitStateRequest(mutations=[own])
    yield "commit to an org", commit, states.CommitStateRequest(mutations=[team])
    yield "commit to a request", commit, states.CommitStateRequest(mutations=[in_request])
    for_request = states.CommitStateRequest(mutations=[in_session], request_id=house.open)
    yield "commit for a request", commit, for_request
    tried = states.CommitStateRequest(mutations=[in_session, own], validate_only=True)
    yield "commit that is only tried", commit, tried
    yield from attack_resources.writes(house)
    remove = "SessionService/RemoveItems"
    ids = sessions.ItemIds(item_ids=[house.item])
    yield (
        "removed after",
        remove,
        sessions.RemoveItemsRequest(session_id=house.session, after_item_id=house.outside),
    )
    yield "removed by id", remove, sessions.RemoveItemsRequest(session_id=house.session, ids=ids)
    append = sessions.AppendItemsRequest(
        session_id=house.session, items=[_item(house)], request_id=house.open
    )
    yield "items for a request", "SessionService/AppendItems", append
    entry = journals.JournalEntry(
        entry_id=house.entry, text=house.text, source=house.title, request_id=house.open
    )
    noted = journals.AppendJournalRequest(session_id=house.session, entries=[entry])
    yield "a note", "JournalService/AppendJournal", noted
    everything = sessions.UpdateSessionRequest(
        session=session(house, session_id=house.session),
        update_mask=FieldMask(paths=["title", "description", "tags", "metadata"]),
    )
    yield "all of a session", "SessionService/UpdateSession", everything
    cancel = flows.CancelActionRequestRequest(request_id=house.open, reason=house.title)
    yield "cancelled", "FlowService/CancelActionRequest", cancel
    for name, scope in (
        ("session", ScopeRef(session_id=house.session)),
        ("request", ScopeRef(request_id=house.open)),
        ("user apart", ScopeRef(user_id=house.user, flow_kind=APART, isolated=True)),
        ("org apart", ScopeRef(org_id=house.org, flow_kind=APART, isolated=True)),
    ):
        delete = states.DeleteStateRequest(scope=scope, allow_missing=True)
        yield f"state of a {name}", "StateService/DeleteState", delete
    shared = states.DeleteStateRequest(
        scope=ScopeRef(user_id=house.user, flow_kind=KIND),
        precondition=Precondition(incarnation=house.of_user),
    )
    yield "state of a user", "StateService/DeleteState", shared
    for allow in (True, False):
        gone = sessions.DeleteSessionRequest(
            session_id=house.session,
            precondition=Precondition(exists=True, incarnation=house.incarnation),
            allow_missing=allow,
        )
        yield f"deleted {'if there' if allow else 'for sure'}", "SessionService/DeleteSession", gone


def _creations(house: House) -> Iterator[Call]:
    # Resolved by what nobody has resolved: found again from then on.
    resolve = sessions.ResolveSessionRequest(session=session(house))
    yield "resolved", "SessionService/ResolveSession", resolve
    if house.bound:
        bare = sessions.ResolveSessionRequest(session=session(house, bare=True))
        yield "resolved by credentials", "SessionService/ResolveSession", bare
    named = sessions.ResolveSessionRequest(session=session(house, session_id=house.session))
    yield "resolved by id", "SessionService/ResolveSession", named
    taken = sessions.CreateSessionRequest(session=session(house, session_id=house.session))
    yield "created by id", "SessionService/CreateSession", taken
    yield from _actions(house)


def _actions(house: House) -> Iterator[Call]:
    specs = {"again": spec(house, house.ended), "a new request": spec(house, "")}
    if house.bound:
        specs["again by credentials"] = spec(house, house.bare, bare=True)
    for name, one in specs.items():
        tried = flows.DispatchActionRequest(spec=one, validate_only=True)
        yield f"only tried: {name}", "FlowService/DispatchAction", tried
        yield f"dispatched: {name}", "FlowService/DispatchAction", flows.DispatchActionRequest(spec=one)
        yield f"called: {name}", "FlowService/CallAction", flows.CallActionRequest(spec=one)
        yield f"streamed: {name}", "FlowService/StreamAction", flows.StreamActionRequest(spec=one)


def _fill(message: Message, house: House, owner: str) -> None:
    """Put the house's names where the message has places for them, and its text anywhere else."""
    names: Mapping[str, str] = {
        "session_id": house.session,
        "request_id": house.open,
        "user_id": house.user,
        "org_id": house.org,
        "idempotency_key": house.key,
        "incarnation": house.incarnation,
        "flow_kind": KIND,
    }
    for place in message.DESCRIPTOR.fields:
        choice = place.containing_oneof
        if place.is_repeated or (choice is not None and choice.name == "owner" and place.name != owner):
            continue
        if place.type == FieldDescriptor.TYPE_MESSAGE:
            _fill(getattr(message, place.name), house, owner)
        elif place.type == FieldDescriptor.TYPE_STRING:
            setattr(message, place.name, names.get(place.name, house.text))


Path = tuple[str | int, ...]


def text_places(kind: Descriptor | None, before: str = "") -> Iterator[str]:
    """Every text that a message of a kind can hold, as ``mutations.scope.session_id``."""
    assert kind is not None
    for place in kind.fields:
        path = before + place.name
        if place.type == FieldDescriptor.TYPE_STRING or _is_map(place):
            yield path
        elif place.type == FieldDescriptor.TYPE_MESSAGE:
            yield from text_places(place.message_type, f"{path}.")


def texts(message: Any, before: Path = ()) -> Iterator[Path]:
    """Every text that a message holds; lists and maps of them are one."""
    for place, value in message.ListFields():
        path = (*before, place.name)
        if place.type == FieldDescriptor.TYPE_STRING or _is_map(place):
            yield path
        elif place.type == FieldDescriptor.TYPE_MESSAGE and place.is_repeated:
            for number, one in enumerate(value):
                yield from texts(one, (*path, number))
        elif place.type == FieldDescriptor.TYPE_MESSAGE:
            yield from texts(value, path)


def at(message: Any, path: Path) -> Any:
    for step in path:
        message = message[step] if isinstance(step, int) else getattr(message, step)
    return message


def put(message: Message, path: Path, source: Message) -> None:
    """Put there what ``source`` has there."""
    holder, name = at(message, path[:-1]), path[-1]
    value = at(source, path)
    if isinstance(value, str):
        setattr(holder, str(name), value)
    else:
        holder.ClearField(name)
        getattr(holder, str(name)).MergeFrom(value)


def written(path: Path) -> str:
    """As :func:`text_places` has it."""
    return ".".join(step for step in path if isinstance(step, str))


def _is_map(place: FieldDescriptor) -> bool:
    return place.message_type is not None and place.message_type.GetOptions().map_entry
