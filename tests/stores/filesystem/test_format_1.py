"""A folder of format 1 opens for ever. ``format_1`` was made by the first version and is never made again: its journal
was not replayed, and what that alone holds (``orgs``) is not in its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, session_owner
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import IdempotencyKey, ProcessRecord
from flowstate_server.model.scopes import RequestKey, SessionKey, request_scope, user_scope
from flowstate_server.stores.contract.blobs import PieceKey
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.writes import PutIdempotencyKey
from flowstate_server.stores.filesystem.names import file_name
from flowstate_server.testing.store_contract.builders import LEASE, PROCESS, increment, request_of, state_of
from tests.stores.filesystem import script
from tests.stores.filesystem.script import SESSION, opened

SAMPLE = Path(__file__).with_name("format_1")
LONG = SessionKey(NO_TENANT, "Ü" * 60)
RESOURCE = DocumentKey(session_owner(SESSION, "log-sess_1"), "resource", ("Ü" * 60, "b"))
CREATED = 1735689600000000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(SAMPLE, tmp_path / "sample")


async def test_it_keeps_its_data_and_goes_on(folder: Path) -> None:
    await script.check_whole(folder, script.Outcome(answered=script.STEPS))


async def test_its_records_are_read_to_the_byte(folder: Path) -> None:
    async with opened(folder) as store:
        [listed] = (await store.list_sessions(SessionFilter(Tenant("acme")), limit=10)).sessions
        session = listed.record
        assert (session.key, session.title, session.version, session.create_time) == (
            SESSION,
            "Holidays",
            2,
            CREATED,
        )
        [long] = (await store.list_sessions(SessionFilter(NO_TENANT), limit=10)).sessions
        assert long.record.key == LONG
        request = await request_of(store, script.REQUEST)
        assert (request.input, request.output) == (b'{"message":"hello"}', b'"done"')
        [item] = await store.read_turns(SESSION, session.log_id, newest=1)
        assert (item.item.item_id, item.item.content, item.session_sequence) == ("item", b'{"parts":[]}', 4)
        zoe = await state_of(store, user_scope("Zoë/1", isolated_flow="chat"))
        assert (zoe.version, zoe.text) == (1, b'{"visits":1}')
        second = await state_of(store, request_scope(RequestKey(Tenant("acme"), "req_2")))
        assert (second.version, second.text) == (1, b'{"step":1}')
        [resource] = (await store.load_documents([RESOURCE])).values()
        assert (resource.version, resource.text, resource.create_time) == (1, b'{"n": 1.50}', CREATED)
        assert store.pieces is not None
        assert await store.pieces.read(PieceKey("blob_1", 0)) == b"piece\0"
        process = (await store.read_processes())[0]
        assert process == ProcessRecord(PROCESS, Micros(LEASE + 1), process.renew_time)
        assert await store.sweep_documents(limit=10) == 3
        assert await store.sweep_transient_events(retention=Micros(0), limit=10) == 2
        put = PutIdempotencyKey(IdempotencyKey(Tenant("acme"), "p", "m", "new"), "f", LEASE)
        assert not (await store.commit((increment(script.ADA), put))).replayed


def test_a_long_id_has_its_digest_in_its_name(folder: Path) -> None:
    name = file_name(LONG.session_id)
    assert len(name) == 150 + 1 + 64
    assert (folder / "sessions" / "@none" / name / "session.json").exists()
