"""Rows that another process changes while a group waits for their locks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import SessionKey, session_scope
from flowstate_server.stores.contract.exporting import Exporting
from flowstate_server.stores.contract.writes import AppendEvents, RenewLease, RequireRun
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    finish,
    increment,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from tests.stores.postgres.harness import PostgresHarness

ROUNDS = 60


async def test_none_of_several_is_lost() -> None:
    """Postgres looks once more at rows that were changed meanwhile; each of them must be found again."""
    async with PostgresHarness() as harness:
        one, other = await harness.open(), await harness.open()
        await one.commit((RenewLease(PROCESS, LEASE, start=True),))
        for number in range(ROUNDS):
            sessions = [SessionKey("", f"{number}-a"), SessionKey("", f"{number}-b")]
            for session in sessions:
                await one.commit((new_session(session.session_id),))
            await asyncio.gather(
                _both(one, sessions),
                _both(other, sessions),
                _run(one, sessions[1]),
                _run(other, sessions[0]),
                _both(other, sessions[::-1]),
            )
            for session in sessions:
                assert (await state_of(one, session_scope(session))).state == {"n": 4}


async def _both(store: Store, sessions: Sequence[SessionKey]) -> None:
    await store.commit(tuple(increment(session_scope(session)) for session in sessions))


async def _run(store: Store, session: SessionKey) -> None:
    create = new_request(session, f"{session.session_id}-run")
    await store.commit((create,))
    await store.commit(
        (RequireRun(create.key, PROCESS), increment(session_scope(session), request=create.key))
    )
    await store.commit((RequireRun(create.key, PROCESS), finish(create.key, create.scopes)))


async def test_a_state_that_appears_meanwhile_is_seen() -> None:
    """A run that ends behind another's event knows of the state that was first written with it."""
    async with PostgresHarness() as harness:
        one, other = await harness.open(), await harness.open()
        assert isinstance(one, Exporting)
        for number in range(ROUNDS):
            name = f"s{number}"
            writing, ending = (
                await open_scene(one, name, f"a{number}"),
                await open_scene(other, name, f"b{number}"),
            )
            written = put(session_scope(writing.session), {"n": 1})
            event = AppendEvents(writing.session, (note("written"),), writing.request)
            await asyncio.gather(writing.commit(written, event), ending.finish())
            session = await one.get_session(writing.session)
            assert session is not None
            log = await one.export_events(session.key, session.log_id, after=0, limit=9, max_bytes=1 << 20)
            versions = [
                decode_json(record.event.payload)["scope_versions"]["session"]  # type: ignore[index, call-overload]
                for record in log
                if record.event.type.terminal
            ]
            assert versions == [0 if log[0].event.type.terminal else 1]
