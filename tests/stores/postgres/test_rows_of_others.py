"""Rows that another process changes while a group waits for their locks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flowstate_server.model.scopes import SessionKey, session_scope
from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.contract.writes import RenewLease, RequireRun
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    finish,
    increment,
    new_request,
    new_session,
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
