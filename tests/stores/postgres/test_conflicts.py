"""Groups of two processes that create the same records."""

from __future__ import annotations

import asyncio

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentRange, flow_owner, ordered
from flowstate_server.model.scopes import ScopeKey, org_scope, user_scope
from flowstate_server.stores.contract.writes import Batch, ChangeState, RenewLease
from flowstate_server.stores.postgres import PostgresStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.ranges import KIND, MOST, Keep, kinds
from tests.stores.sqlite import batches
from tests.support.postgres_server import fetch

ROUNDS = 80


def increments(keys: list[ScopeKey]) -> Batch:
    return tuple(ChangeState(key, batches.increment) for key in keys)


async def test_opposite_orders_neither_deadlock_nor_fail(
    store: PostgresStore, other: PostgresStore, dsn: str
) -> None:
    for number in range(ROUNDS):
        keys = [user_scope(f"{number}-{name}") for name in "abcd"] + [org_scope(f"{number}")]
        names = [f"{number}-{name}" for name in "xyz"]

        async def create(through: Store, ordered: list[ScopeKey], ordered_names: list[str]) -> None:
            leases = tuple(RenewLease(name, Micros(1), start=True) for name in ordered_names)
            await asyncio.gather(
                through.commit((*leases, *increments(ordered))),
                *(through.commit(increments([key])) for key in ordered),
            )

        await asyncio.gather(create(store, keys, names), create(other, keys[::-1], names[::-1]))
        states = await store.load_states(keys)
        assert {state.version for state in states.values()} == {4}
    assert await fetch(dsn, "SELECT sum(deadlocks) FROM pg_stat_database") == [(0,)]


async def test_ranges_are_kept_by_a_counter_that_two_create_at_once(
    store: PostgresStore, other: PostgresStore
) -> None:
    """A range locks nothing, and a counter that is absent can't be locked: its creators meet at its key."""
    with kinds():
        for number in range(20):
            owner = flow_owner(f"flow-{number}")
            keeps = [
                through.commit((Keep(owner, b"%d" % text),))
                for text in range(MOST)
                for through in (store, other)
            ]
            await asyncio.gather(*keeps)
            kept = await store.read_documents(DocumentRange(owner, KIND, limit=99))
            assert [document.key.name for document in kept] == [
                (ordered(place),) for place in range(MOST + 1, 2 * MOST + 1)
            ]


async def test_racing_creators_of_a_session_agree(store: PostgresStore, other: PostgresStore) -> None:
    for number in range(20):
        key = batches.SESSION._replace(session_id=f"s{number}")
        creations = [
            through.commit(batches.create_session(key, f"log-{name}", exclusive=True))
            for name, through in (("1", store), ("2", other))
        ]
        answers = await asyncio.gather(*creations, return_exceptions=True)
        assert sum(isinstance(answer, Exception) for answer in answers) == 1
        session = await store.get_session(key)
        assert session == await other.get_session(key)
