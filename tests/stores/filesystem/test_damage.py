"""A damaged file or line costs what it held, is named, and the rest is served."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flowstate_server.errors import InternalError, StoreOpenError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.tables import STATES
from flowstate_server.stores.contract.writes import AppendEvents, Batch, CommitResult, PutIdempotencyKey
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.kept import PATHS
from flowstate_server.stores.filesystem.store import FilesystemStore
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.transfer import CopyRefused, check_store, copy_store
from flowstate_server.stores.transfer.check import UNREADABLE
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    events_of,
    increment,
    item_done,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    request_of,
    state_of,
)
from tests.stores.filesystem.script import opened

ADA, BOB, LONG = user_scope("ada"), user_scope("bob"), user_scope("Ü" * 60)
ONE, TWO = SessionKey(NO_TENANT, "session-1"), SessionKey(NO_TENANT, "session-2")
FIRST, SECOND = RequestKey(NO_TENANT, "request-1"), RequestKey(NO_TENANT, "request-2")
KEY = IdempotencyKey(NO_TENANT, "p", "m", "k")

Use = Callable[[FilesystemStore], Awaitable[object]]


def committing(*batch: object) -> Use:
    return lambda store: store.commit(batch)  # type: ignore[arg-type]


def reading(scope: ScopeKey) -> Use:
    return lambda store: state_of(store, scope)


USES: dict[str, tuple[str, list[Use]]] = {
    "users/ada/shared.json": ("state user", [reading(ADA), committing(increment(ADA))]),
    str(PATHS[STATES](LONG, lambda _: ONE)): ("state user", [reading(LONG), committing(increment(LONG))]),
    "sessions/@none/session-1/state.json": (
        "state session",
        [reading(session_scope(ONE)), committing(put(session_scope(ONE), {}))],
    ),
    "sessions/@none/session-1/requests/request-1/request.json": (
        "request ",
        [
            lambda store: store.get_request(FIRST),
            lambda store: store.read_events(FIRST, after=0, limit=9, max_bytes=99),
            committing(new_request(ONE, FIRST.request_id)),
        ],
    ),
    "documents/store/@/idempotency_key/@none,p,m,k.json": (
        "idempotency key ",
        [
            committing(increment(BOB), PutIdempotencyKey(KEY, "f", LEASE)),
            lambda store: store.load_documents([KEY.document]),
        ],
    ),
    "sessions/@none/session-1/turns-log-session-1/1.json": (
        "turn 1 of session ",
        [lambda store: store.read_turns(ONE, "log-session-1", newest=5)],
    ),
}
for file in ("session.json", "counters.json"):
    USES[f"sessions/@none/session-1/{file}"] = (
        "session ",
        [
            lambda store: store.get_session(ONE),
            lambda store: store.get_request(FIRST),
            lambda store: store.read_projection(ONE, ()),
            committing(new_session("session-1")),
            committing(AppendEvents(ONE, (note(),))),
        ],
    )


async def fill(folder: Path) -> None:
    async with opened(folder) as store:
        for session, request in ((ONE, FIRST), (TWO, SECOND)):
            scene = await open_scene(store, session.session_id, request.request_id)
            await scene.append(note("a"), item_done("item"))
            await scene.commit(put(session_scope(session), {"n": 1}))
            await scene.finish()
        await store.commit((put(ADA, {"n": 1}), put(BOB, {"n": 1}), put(LONG, {"n": 1})))
        await store.commit((increment(BOB), PutIdempotencyKey(KEY, "f", LEASE)))


async def check_rest(store: FilesystemStore) -> None:
    """What has nothing to do with the first session, ``ada`` and the rest of the damaged is read and written."""
    assert len(await events_of(store, SECOND)) == 3
    assert [one.item.item_id for one in await store.read_turns(TWO, "log-session-2", newest=9)] == ["item"]
    assert (await state_of(store, session_scope(TWO))).state == {"n": 1}
    assert (await state_of(store, BOB)).version == 2
    await store.commit((AppendEvents(TWO, (note("more"),)),))
    listed = (await store.list_sessions(SessionFilter(NO_TENANT), limit=9)).sessions
    assert TWO in [one.record.key for one in listed]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": 1', '{"scope": 7}', '{"tenant": {}}'])
@pytest.mark.parametrize("file", USES, ids=lambda file: file[-30:].replace("/", "-"))
async def test_a_damaged_file_costs_its_record(
    tmp_path: Path, file: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, uses = USES[file]
    await fill(tmp_path)
    (tmp_path / file).write_text(text)
    async with opened(tmp_path) as store:
        assert file in caplog.text
        for use in uses:
            caplog.clear()
            with pytest.raises((InternalError, DamagedRecord)) as refused:
                await use(store)
            assert Path(file).parent.as_posix() in caplog.text + str(refused.value)
        await check_rest(store)
        found = [problem async for problem in check_store(store)]
        assert any(one.startswith(kind) and one.endswith(UNREADABLE) for one in found)
        await _is_not_copied(store)
    assert (tmp_path / file).read_text() == text


async def _is_not_copied(store: FilesystemStore) -> None:
    target = MemoryStore()
    await target.open()
    with pytest.raises(CopyRefused, match="can't be understood"):
        await copy_store(store, target, name="source")
    await target.close()


async def test_a_session_without_its_counters_is_damaged(tmp_path: Path) -> None:
    await fill(tmp_path)
    (tmp_path / "sessions/@none/session-1/counters.json").unlink()
    async with opened(tmp_path) as store:
        with pytest.raises(DamagedRecord):
            await store.get_session(ONE)
        await check_rest(store)


async def test_a_process_whose_record_is_damaged_counts_as_gone(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with opened(tmp_path) as store:
        await store.commit((new_request(TWO, "running"),))
    (tmp_path / "processes" / f"{PROCESS}.json").write_text("{")
    async with opened(tmp_path) as store:
        [process] = await store.read_processes()
        assert (process.process, process.fenced) == (PROCESS, False)
        assert process.expire_time < await store.time()
        [running] = await store.read_running(PROCESS, limit=9)
        assert running.key.request_id == "running"


async def test_only_the_batches_that_need_a_damaged_record_are_refused(tmp_path: Path) -> None:
    await fill(tmp_path)
    (tmp_path / "users/ada/shared.json").write_text("{")
    async with opened(tmp_path) as store:
        batches: list[Batch] = [(increment(ADA if number % 10 == 3 else BOB),) for number in range(40)]
        answers = await asyncio.gather(*map(store.commit, batches), return_exceptions=True)
        refused = [number for number, answer in enumerate(answers) if isinstance(answer, InternalError)]
        assert refused == [3, 13, 23, 33]
        assert len([answer for answer in answers if isinstance(answer, CommitResult)]) == 36
        assert (await state_of(store, BOB)).version == 2 + 36


async def test_files_that_are_damaged_while_the_store_is_open_are_not_read(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with opened(tmp_path) as store:
        await store.commit((new_request(ONE, "running-1"), new_request(TWO, "running-2")))
        folder = tmp_path / "sessions/@none/session-1"
        (folder / "session.json").write_text("{")
        (folder / "requests/running-1/request.json").write_text("{")
        listed = (await store.list_sessions(SessionFilter(NO_TENANT), limit=9)).sessions
        assert {one.record.key for one in listed} == {ONE, TWO}
        assert len(await store.read_running(PROCESS, limit=9)) == 2
    async with opened(tmp_path) as store:
        [one] = (await store.list_sessions(SessionFilter(NO_TENANT), limit=9)).sessions
        assert one.record.key == TWO
        [running] = await store.read_running(PROCESS, limit=9)
        assert running.key.request_id == "running-2"


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.EMFILE])
async def test_a_file_that_cannot_be_read_costs_its_record(
    tmp_path: Path, error: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless the error is not the file's own."""
    await fill(tmp_path)

    class Unreadable(Files):
        def read(self, path: Path) -> bytes:
            if path.parent.name == "ada":
                raise OSError(error, os.strerror(error))
            return super().read(path)

    store = FilesystemStore(tmp_path, files=Unreadable())
    if error == errno.EMFILE:
        with pytest.raises(StoreOpenError, match=os.strerror(error)):
            await store.open()
        return
    await store.open()
    assert "users/ada/shared.json" in caplog.text
    with pytest.raises(DamagedRecord):
        await state_of(store, ADA)
    await check_rest(store)
    await store.close()


LOG = "sessions/@none/session-1/events-log-session-1.jsonl"
LINES = 6
"""Of the log: the events of two requests, three each. The header is not counted."""


@pytest.mark.parametrize("line", range(LINES))
@pytest.mark.parametrize("text", [b'{"oh\n', b"\n", b"[]\n", b'{"session_sequence":1}\n'])
async def test_a_damaged_line_costs_the_events_of_its_request(tmp_path: Path, line: int, text: bytes) -> None:
    async with opened(tmp_path) as store:
        for request in (FIRST, SECOND):
            scene = await open_scene(store, request_id=request.request_id)
            await scene.append(note("a"), item_done(request.request_id))
            await scene.finish()
    path = tmp_path / LOG
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + LINES
    lines[1 + line] = text
    path.write_bytes(b"".join(lines))
    lost, kept = (FIRST, SECOND) if line < 3 else (SECOND, FIRST)
    for attempt in range(2):
        async with opened(tmp_path) as store:
            with pytest.raises(DamagedRecord, match=LOG):
                await events_of(store, lost)
            with pytest.raises(DamagedRecord, match=LOG):
                await store.read_turns(ONE, "log-session-1", newest=2)
            with pytest.raises(DamagedRecord, match=LOG):
                await store.read_events(ONE, after=line, limit=1, max_bytes=99)
            if line > 1:
                assert await store.read_events(ONE, after=0, limit=line - 1, max_bytes=9999)
            assert [event.sequence for event in await events_of(store, kept)] == [1, 2, 3]
            assert (await request_of(store, lost)).output == b'"done"'
            problems = [problem async for problem in check_store(store)]
            assert f'event {line + 1} of session ""/session-1: {UNREADABLE}' in problems
            await _is_not_copied(store)
            await store.commit((AppendEvents(ONE, (note(str(attempt)),)),))
    assert path.read_bytes().startswith(b"".join(lines))


async def test_a_last_line_that_was_cut_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    """It was committed, and what came after it has to begin a line of its own."""
    async with opened(tmp_path) as store:
        await store.commit((new_session(), AppendEvents(ONE, (note("1"), note("2")))))
    path = tmp_path / LOG
    path.write_bytes(path.read_bytes()[:-5])
    for text in ("3", "4"):
        async with opened(tmp_path) as store:
            await store.commit((AppendEvents(ONE, (note(text),)),))
    async with opened(tmp_path) as store:
        page = await store.read_events(ONE, after=2, limit=9, max_bytes=9999)
        assert page is not None
        assert [event.event for event in page.events] == [note("3"), note("4")]


async def test_the_sequence_of_a_lost_event_is_not_given_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        scene = await open_scene(store)
        await scene.append(note("1"), note("2"))
    path = tmp_path / LOG
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:-1], b"{\n")))
    async with opened(tmp_path) as store:
        [running] = await store.read_running(PROCESS, limit=9)
        assert running.head.sequence == 2
