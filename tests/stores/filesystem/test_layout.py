"""What a person finds in the folder, and what a person may do to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowstate_server.errors import InternalError
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.scopes import session_scope, user_scope
from flowstate_server.stores.contract.writes import Changed, ChangeState
from flowstate_server.stores.filesystem import names
from flowstate_server.stores.filesystem.documents import Document, document, line
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from tests.stores.filesystem.script import ADA, SESSION, opened

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
        "sessions/@none/sess_2/session.json",
        "sessions/@none/sess_2/counters.json",
        "users/ada/shared.json",
        "users/ada/flow-chat.json",
    }
    session = tmp_path / "sessions" / "acme" / "sess_1"
    assert json.loads((session / "state.json").read_text())["state"] == {"topic": "travel"}
    assert '\n  "state": {"topic":"travel"}\n' in (session / "state.json").read_text()
    events = [json.loads(text) for text in (session / "events-log-sess_1.jsonl").read_text().splitlines()]
    assert events[0] == {"tenant": "acme", "session_id": "sess_1", "log_id": "log-sess_1"}
    assert [event.get("payload", event.get("content")) for event in events[1:]] == [
        {"name": "note", "data": "hello"},
        {"parts": [1.0]},
    ]


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
        names.state_path(user_scope("u", isolated_flow=flow)) for flow in ("", "shared", "flow-", *HOSTILE)
    }
    assert len(flows) == len({"", "shared", "flow-", *HOSTILE})


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


async def test_a_file_that_is_damaged_while_the_store_is_open_fails_what_reads_it_alone(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await store.commit((put(ADA, {"n": 1}),))
        (tmp_path / "users" / "ada" / "shared.json").write_text("{")
        with pytest.raises(InternalError):
            await state_of(store, ADA)
        await store.commit((put(user_scope("bob"), {"n": 1}),))


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
    for written in (document({"a": 1, "text": text, "z": [{}]}), line({"text": text, "b": {"text": 0}})):
        found = Document(written)
        assert found.text("text") == text
        assert found.text("other") is None
    assert Document(encode_json({})).text("text") is None
