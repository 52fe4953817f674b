"""What a person finds in the folder, and what a person may do to it."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flowstate_server.model.documents import (
    STORE_OWNER,
    DocumentKey,
    Owner,
    OwnerKind,
    scope_owner,
    session_owner,
)
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)
from flowstate_server.stores.contract.writes import Changed, ChangeState
from flowstate_server.stores.filesystem import names
from flowstate_server.stores.filesystem.kept import PATHS, as_found
from flowstate_server.stores.filesystem.members import Parsed, file_text, line
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    item_done,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from tests.stores.filesystem.script import ADA, PLAN, SESSION, opened

HOSTILE = (
    *("a", "A", "a.", ".a", "..", ".", "...", "a b", "a/b", "a\\b", "../../etc/passwd", "~", "@none", "%41"),
    *("con", "CON", "con.txt", "console", "nul", "lpt1", "com1.", "é", "e\u0301", "\0", "\n", "a\n", "a.\n"),
    *("x" * 128, "é" * 64, "é" * 63 + "e", "\N{GRINNING FACE}" * 32, "-", "_", "0", "", "a.json", "a.tmp"),
)


async def test_a_person_finds_their_way(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        scene = await open_scene(store, "sess_1", "req_1", tenant="acme")
        await scene.append(note("hello"), item_done("item_1", content=b'{"parts": [1.0]}'))
        await scene.commit(put(session_scope(SESSION), {"topic": "travel"}), put(ADA, {"name": "Ada"}))
        await scene.finish()
        await store.commit((PutDocument(PLAN, b'{"n": 1.50}'),))
        await store.commit((new_session("sess_2"), put(user_scope("ada", isolated_flow="chat"), {})))
    files = {path.relative_to(tmp_path).as_posix() for path in _files(tmp_path)}
    assert files == {
        "format.json",
        "journal.jsonl",
        "lock",
        "processes/process-1.json",
        "sessions/acme/sess_1/session.json",
        "sessions/acme/sess_1/counters.json",
        "sessions/acme/sess_1/state.json",
        "sessions/acme/sess_1/events-log-sess_1.jsonl",
        "sessions/acme/sess_1/requests/req_1/request.json",
        "sessions/acme/sess_1/turns-log-sess_1/1.json",
        "documents/session/acme,sess_1,@none,log-sess_1/plan/2026,%54rip%20to%20%5Ao%C3%AB.json",
        "sessions/@none/sess_2/session.json",
        "sessions/@none/sess_2/counters.json",
        "users/ada/shared.json",
        "users/ada/flow-chat.json",
    }
    session = tmp_path / "sessions" / "acme" / "sess_1"
    assert json.loads((session / "state.json").read_text())["state"] == {"topic": "travel"}
    assert '\n  "state": {"topic":"travel"},\n' in (session / "state.json").read_text()
    events = [json.loads(text) for text in (session / "events-log-sess_1.jsonl").read_text().splitlines()]
    assert events[0] == {"tenant": "acme", "session_id": "sess_1", "log_id": "log-sess_1"}
    assert [event["type"] for event in events[1:]] == ["custom", "item.done", "request.completed"]
    assert events[1]["payload"] == {"name": "note", "data": "hello"}
    assert events[2]["item"]["content"] == {"parts": [1.0]}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_every_id_has_a_name_of_its_own_everywhere() -> None:
    found = [names.file_name(id) for id in HOSTILE]
    assert len({name.casefold() for name in found}) == len(HOSTILE)
    for name in found:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789ABCDEF%._-~@")
        assert not name.startswith(".")
        assert not name.endswith(".")
        assert len(name) <= 215
        assert name.split(".")[0] not in ("con", "nul", "lpt1", "com1")
    assert names.file_name("sess_1-a.b") == "sess_1-a.b"
    assert names.file_name("A b") == "%41%20b"


def test_places_do_not_collide() -> None:
    assert names.file_name("@none") != names.file_name("")
    flows = {
        PATHS[STATES](user_scope("u", isolated_flow=flow), no_session)
        for flow in ("", "shared", "flow-", *HOSTILE)
    }
    assert len(flows) == len({"", "shared", "flow-", *HOSTILE})


def test_every_document_has_a_place_of_its_own() -> None:
    ada = scope_owner(user_scope("ada"))
    parts = [(), *[(one,) for one in HOSTILE], *[(one, other) for one in HOSTILE for other in HOSTILE]]
    owners = [
        Owner(OwnerKind.USER, Tenant(tenant), *others)
        for tenant, *others in product(("", "a", "A,b"), repeat=4)
    ]
    keys = {
        *(DocumentKey(ada, "note", name) for name in parts),
        *(DocumentKey(owner, kind, ("a",)) for owner in [*owners, STORE_OWNER] for kind in ("note", "a")),
    }
    assert len({str(PATHS[DOCUMENTS](key, no_session)).casefold() for key in keys}) == len(keys)


def no_session(request: RequestKey) -> SessionKey:
    raise LookupError(request)


LONG = "Ü" * 60
KEYS: list[tuple[Table[Any, Any], Any, Any]] = [
    (table, key, key)
    for table, key in (
        (SESSIONS, SessionKey(NO_TENANT, "A")),
        (SESSION_HEADS, SessionKey(Tenant("acme"), "a/b")),
        (REQUESTS, RequestKey(Tenant("acme"), "r.1")),
        (TURNS, TurnKey(SessionKey(NO_TENANT, "s"), "Log", 12)),
        (STATES, session_scope(SESSION)),
        (STATES, request_scope(RequestKey(NO_TENANT, "r"))),
        (STATES, user_scope("ada", isolated_flow="shared")),
        (STATES, org_scope("acme")),
        (PROCESSES, "process/1"),
        (DOCUMENTS, DocumentKey(STORE_OWNER, "idempotency_key", ("", "p,q", "m"))),
        (DOCUMENTS, DocumentKey(session_owner(SESSION, "log"), "plan", ())),
    )
]
CUT = "Ü" * 25 + "~" + sha256(LONG.encode()).hexdigest()


@pytest.mark.parametrize(("table", "key", "found"), [*KEYS, (STATES, user_scope(LONG), user_scope(CUT))])
def test_a_place_tells_whose_it_is(table: Table[Any, Any], key: Any, found: Any) -> None:
    assert as_found(table, key) == found


async def test_a_state_that_was_edited_by_hand_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.commit((put(ADA, {"n": 1}),))
    path = tmp_path / "users" / "ada" / "shared.json"
    values = json.loads(path.read_text())
    values["state"] = {"n": 7, "list": [1, 1.0]}
    path.write_text(json.dumps(values, indent=4))
    async with opened(tmp_path) as store:
        assert (await state_of(store, ADA)).state == {"n": 7, "list": [1, 1.0]}
        changed = await store.commit((put(ADA, {"n": 8}),))
        assert changed.results[0].version == 2


async def test_a_file_that_is_damaged_while_the_store_is_open_is_mended_by_the_next_write(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await store.commit((put(ADA, {"n": 1}),))
        (tmp_path / "users" / "ada" / "shared.json").write_text("{")
        assert (await state_of(store, ADA)).state == {"n": 1}
        await store.commit((increment(ADA),))
    async with opened(tmp_path) as store:
        assert (await state_of(store, ADA)).state == {"n": 2}


async def test_text_that_does_not_fit_in_a_line_comes_back_to_the_byte(tmp_path: Path) -> None:
    text = b'{\n  "a": 1.50\n}'
    async with opened(tmp_path) as store:
        scene = await open_scene(store)
        await store.commit((ChangeState(ADA, lambda _: Changed({"a": 1.5}, text)),))
        await scene.append(item_done("item", content=text), note("after"))
    async with opened(tmp_path) as store:
        assert (await state_of(store, ADA)).text == text
        done, after = await events_of(store, scene.request)
        assert done.event.item is not None
        assert (done.event.item.content, after.event) == (text, note("after"))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"nothing", b'"a\\u0000b"', b"1", b"1.0", b"[ 1 , 2 ]", b'{"text": {"text": "}"}}', b"null"],
)
def test_members_come_back_to_the_byte(text: bytes) -> None:
    for written in (file_text({"a": 1, "text": text, "z": [{}]}), line({"text": text, "b": {"text": 0}})):
        found = Parsed(written)
        assert "text" in found
        assert found.text("text") == text
        assert "other" not in found
    assert "text" not in Parsed(encode_json({}))
