"""Documents that hold long lists of small numbers, which orjson refuses behind the blanks of a document."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.scopes import session_scope
from flowstate_server.stores.contract.writes import UpdateSession
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    new_request,
    open_scene,
    put,
    request_of,
    state_of,
)
from tests.stores.filesystem.script import ADA, REQUEST, SESSION, opened

NUMBERS: list[Json] = [1] * 3000
PAIRS: list[Json] = [[1, 2]] * 940


async def test_a_list_of_numbers_is_kept(tmp_path: Path) -> None:
    state = session_scope(SESSION)
    async with opened(tmp_path) as store:
        scene = await open_scene(store, SESSION.session_id, REQUEST.request_id, tenant=SESSION.tenant)
        await scene.append(item_done("item", content=encode_json(NUMBERS)))
        await scene.commit(put(state, {"list": NUMBERS}), put(ADA, {"list": NUMBERS}))
        await store.commit((UpdateSession(SESSION, {"metadata": {"list": NUMBERS}}),))
        assert (await state_of(store, state)).state == {"list": NUMBERS}
    async with opened(tmp_path) as store:
        for scope in (state, ADA):
            assert (await state_of(store, scope)).state == {"list": NUMBERS}
        session = await store.get_session(SESSION)
        assert session is not None
        assert session.metadata == {"list": NUMBERS}
        [done] = await events_of(store, REQUEST)
        assert done.event.item is not None
        assert done.event.item.content == encode_json(NUMBERS)


async def test_pairs_that_are_pushed_ten_at_a_time_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for count in range(10, len(PAIRS) + 1, 10):
            await store.commit((put(ADA, {"pairs": PAIRS[:count]}),))
            assert len((await state_of(store, ADA)).text) == len(encode_json({"pairs": PAIRS[:count]}))
    async with opened(tmp_path) as store:
        assert (await state_of(store, ADA)).state == {"pairs": PAIRS}


@pytest.mark.parametrize("pairs", [1400, 2400, 4000])
async def test_an_input_of_pairs_is_kept(tmp_path: Path, pairs: int) -> None:
    """Of 8 KB and more: how long a text must be to be refused depends on what stands before it."""
    text = encode_json({"rows": [[1, 2]] * pairs})
    async with opened(tmp_path) as store:
        await open_scene(store, SESSION.session_id, "other", tenant=SESSION.tenant)
        await store.commit((replace(new_request(SESSION, REQUEST.request_id), input=text),))
        assert (await request_of(store, REQUEST)).input == text
    async with opened(tmp_path) as store:
        assert (await request_of(store, REQUEST)).input == text


STATE = b"""{
  "key": {"kind": "user", "tenant": "", "id": "ada", "flow_kind": ""},
  "version": 4,
  "incarnation": "1",
  "exists": true,
  "create_time": 1735689600000000,
  "update_time": 1735689600000000,
  "state": {"list":[%s]}
}
"""


@pytest.mark.parametrize("digits", [3000, 5000, 20_000])
async def test_what_was_written_before_is_readable_again(tmp_path: Path, digits: int) -> None:
    """By hand, in the form of format 1."""
    folder = shutil.copytree(Path(__file__).with_name("format_1"), tmp_path / "sample")
    (folder / "journal.jsonl").write_bytes(b"")
    text = STATE % b",".join([b"1"] * digits)
    (folder / "users" / "ada" / "shared.json").write_bytes(text)
    async with opened(folder) as store:
        state = await state_of(store, ADA)
        assert (state.version, state.state) == (4, {"list": [1] * digits})
        result = await store.commit((put(ADA, {"list": []}),))
        assert result.results[0].version == 5
