"""Values come back as they were written, to the byte."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import Item, ItemKind
from flowstate_server.model.json_values import Json, JsonObject, canonical_json, decode_json, encode_json
from flowstate_server.model.records import Failure, RequestStatus
from flowstate_server.model.scopes import SessionKey, user_scope
from flowstate_server.stores.contract.writes import (
    Changed,
    ChangeState,
    FinishRequest,
    RenewLease,
    UpdateSession,
)
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    FOR_CLIENTS,
    LEASE,
    PROCESS,
    events_of,
    new_request,
    new_session,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

INT64 = 2**63 - 1
TEXTS = (
    *("", " ", "\0", "a\0b", "\x01\x1f\x7f", "\u2028", "ü", "e\u0301", "\U0010ffff", "\ufffe", "\N{FAMILY}"),
    "\\u0000",
    "'\"",
)
NUMBERS: tuple[Json, ...] = (
    0,
    1,
    -1,
    1.0,
    -0.0,
    0.1,
    1e308,
    5e-324,
    2**53,
    2**53 + 1,
    INT64,
    -INT64 - 1,
    1e22,
)
VALUES: tuple[Json, ...] = (
    *TEXTS,
    *NUMBERS,
    None,
    True,
    False,
    [],
    {},
    [[], [None], {}],
    {"": "", "\0": "\0", "a.b/c~d": 1, "$ref": [1, 1.0, True]},
)


async def check_states_keep_every_value(harness: StoreHarness) -> None:
    """Every JSON value of the profile comes back from a state as it was."""
    store = await harness.open()
    whole: JsonObject = {str(number): value for number, value in enumerate(VALUES)}
    await store.commit((put(user_scope("all"), whole),))
    record = await state_of(store, user_scope("all"))
    assert record.text == encode_json(whole)
    assert canonical_json(record.state) == canonical_json(whole)
    for number, value in enumerate(VALUES):
        key = user_scope(f"user-{number}")
        await store.commit((put(key, {"value": value}),))
        assert canonical_json((await state_of(store, key)).state) == canonical_json({"value": value})


async def check_equal_looking_numbers_stay_apart(harness: StoreHarness) -> None:
    """1, 1.0, true, 0.0 and -0.0 stay what they are."""
    store = await harness.open()
    numbers: tuple[Json, ...] = (1, 1.0, True, 0, 0.0, -0.0, False, INT64, float(2**63))
    state: JsonObject = {"numbers": list(numbers)}
    await store.commit((put(user_scope("ada"), state),))
    found = (await state_of(store, user_scope("ada"))).state["numbers"]
    assert isinstance(found, list)
    assert [(type(number), str(number)) for number in found] == [
        (type(number), str(number)) for number in numbers
    ]


async def check_state_text_is_kept_to_the_byte(harness: StoreHarness) -> None:
    """A state's JSON text comes back byte by byte."""
    store = await harness.open()
    text = '{"b":1.50,"a":"\\u00fc ü","n":9007199254740993,"e":1e2}'.encode()
    state = decode_json(text)
    assert isinstance(state, dict)
    await store.commit((ChangeState(user_scope("ada"), lambda _: Changed(state, text)),))
    assert (await state_of(store, user_scope("ada"))).text == text


async def check_large_state(harness: StoreHarness) -> None:
    """A state of a megabyte is kept."""
    store = await harness.open()
    state: JsonObject = {"text": "ü" * 500_000, "list": list(range(1000))}
    await store.commit((put(user_scope("ada"), state),))
    assert (await state_of(store, user_scope("ada"))).state == state


async def check_metadata_keeps_every_value(harness: StoreHarness) -> None:
    """Every JSON value and text comes back from a session's metadata as it was."""
    store = await harness.open()
    key = SessionKey(NO_TENANT, "session-1")
    metadata: JsonObject = {"values": list(VALUES), "\0": None}
    await store.commit((replace(new_session(), metadata=metadata),))
    for title in TEXTS:
        await store.commit(
            (UpdateSession(key, {"title": title, "description": title + title, "tags": [title, "x", title]}),)
        )
        session = await store.get_session(key)
        assert session is not None
        assert (session.title, session.description, session.tags) == (
            title,
            title + title,
            (title, "x", title),
        )
        assert canonical_json(session.metadata) == canonical_json(metadata)


async def check_events_and_items_keep_every_value(harness: StoreHarness) -> None:
    """Every JSON value comes back from events and items as it was."""
    store = await harness.open()
    scene = await open_scene(store)
    events = []
    for number, value in enumerate(VALUES):
        item = Item(f"item-{number}", ItemKind.CUSTOM, number, encode_json(value), role="\0r", name="ü")
        events.append(
            Event(EventType.CUSTOM, encode_json({"data": value}), FOR_CLIENTS, block_path=("\0", "ü"))
        )
        events.append(Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item))
    await scene.append(*events)
    assert [record.event for record in await events_of(store, scene.request)] == events
    await scene.finish()
    items = await store.read_turns(scene.session, "log-session-1", newest=1)
    assert [record.item for record in items] == [event.item for event in events if event.item]


async def check_requests_keep_every_value(harness: StoreHarness) -> None:
    """Every JSON value comes back from a request's input, output and failure as it was."""
    store = await harness.open()
    session = SessionKey(NO_TENANT, "session-1")
    await store.commit((new_session(), RenewLease(PROCESS, LEASE, start=True)))
    failed = RequestStatus.FAILED
    for number, value in enumerate(VALUES):
        text = encode_json(value)
        create = replace(new_request(session, f"request-{number}"), input=text, fingerprint="\0", org_id="ü")
        failure = Failure("R", "\0ü", {"value": value}, "", retryable=False)
        end = FinishRequest(create.key, failed, ENDS[failed], {"v": value}, (), output=text, failure=failure)
        await store.commit((create,))
        await store.commit((end,))
        request = await request_of(store, create.key)
        assert (request.input, request.output, request.org_id) == (text, text, "ü")
        assert (request.head.fingerprint, request.failure) == ("\0", failure)


async def check_large_integers_of_records(harness: StoreHarness) -> None:
    """Integers of records reach beyond 2**53."""
    store = await harness.open()
    lease = INT64 // 2
    await store.commit((RenewLease(PROCESS, Micros(lease), start=True),))
    [row] = await store.read_processes()
    assert row.lease == lease
