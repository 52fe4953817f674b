"""Samples come from all over a store, whatever its ids look like, and cost a bounded number of reads."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from flowstate_server.engine.deploys.samples import (
    MOST_LOOKS,
    PAGE,
    SAMPLE,
    Alphabet,
    Walk,
    tenants_of_sessions,
)
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind, user_scope
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.testing.store_contract.builders import new_session

_chance = random.Random(7)
IDS: dict[str, Callable[[int], str]] = {
    "numbers": str,
    "padded": lambda n: f"user-{n:06}",
    "by time": lambda n: f"sess_01m8{n:07x}{_chance.getrandbits(60):015x}",
    "random": lambda n: str(uuid.UUID(int=_chance.getrandbits(128))),
    "e-mails": lambda n: f"{'abcdefghij'[n % 10]}{n}@example.org",
    "not ascii": lambda n: f"ü{n:06}",
}
COUNT = 5000


class Ids(Exports):
    """User records by their ids alone, of which some can't be understood."""

    def __init__(self, ids: Sequence[str], damaged: Sequence[str] = ()) -> None:
        self.ids = sorted(ids)
        self.damaged = set(damaged)
        self.looks = 0

    async def export(self, table: Any, *, after: Any, limit: int, max_bytes: int) -> Any:
        self.looks += 1
        page = [id for id in self.ids if id > after.id][:limit]
        for place, id in enumerate(page):
            if id in self.damaged:
                if place == 0 or limit == 1:
                    raise DamagedRecord(user_scope(id), "it is no record")
                page = page[:place]
                break
        return [StateRecord(user_scope(id)) for id in page]


def walk(exports: Exports, damaged: list[DamagedRecord] | None = None) -> Walk[StateRecord]:
    heard: list[DamagedRecord] = [] if damaged is None else damaged
    return Walk(
        exports,
        tables.STATES,
        key=user_scope,
        id_of=lambda record: record.key.id,
        covers=lambda record: record.key.kind is ScopeKind.USER,
        on_damage=heard.append,
    )


@pytest.mark.parametrize("kind", IDS)
async def test_a_sample_comes_from_all_over_and_no_record_twice(kind: str) -> None:
    ids = Ids([IDS[kind](number) for number in range(COUNT)])
    found = [record.key.id async for page in walk(ids).sample(SAMPLE) for record in page]
    assert len(found) == len(set(found))
    assert SAMPLE - PAGE <= len(found) <= SAMPLE + PAGE
    assert ids.looks <= MOST_LOOKS
    # Of each fifth of what there is something is in the sample.
    places = {ids.ids.index(id) * 5 // COUNT for id in found}
    assert places == set(range(5))


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_all_is_each_once_and_a_sample_of_few_is_all(count: int) -> None:
    ids = Ids([f"u{number:05}" for number in range(count)])
    found = [record.key.id async for page in walk(ids).all() for record in page]
    assert found == ids.ids
    sampled = [record.key.id async for page in walk(ids).sample(SAMPLE) for record in page]
    assert len(sampled) == len(set(sampled))
    assert len(sampled) >= min(count, PAGE)


async def test_damaged_records_are_passed_over_and_told_once() -> None:
    names = [f"u{number:05}" for number in range(250)]
    ids = Ids(names, damaged=[names[0], names[120], names[249]])
    damaged: list[DamagedRecord] = []
    found = [record.key.id async for page in walk(ids, damaged).all() for record in page]
    assert found == [name for name in names if name not in ids.damaged]
    assert [damage.key.id for damage in damaged] == [names[0], names[120], names[249]]


def test_between_is_between_or_nothing() -> None:
    for after, before in (("", "a"), ("a", "b"), ("user-0001", "user-0002"), ("ü", "ý"), ("a", "\U0010ffff")):
        middle = Alphabet((after, before)).between(after, before)
        assert middle is None or after < middle < before
    alphabet = Alphabet(())
    assert alphabet.between("a", "c") == "b"
    assert alphabet.between("b", "b") is None
    assert alphabet.between("a" * 50 + "a", "a" * 50 + "c") is None, "alike as far as is looked"


async def test_tenants_are_found_without_their_sessions() -> None:
    store = MemoryStore()
    await store.open()
    for tenant in ("", "acme", "zeta"):
        for number in range(30):
            await store.commit((new_session(f"s{number}", tenant=Tenant(tenant)),))
    assert store.exports is not None
    assert await tenants_of_sessions(store.exports, 10) == [NO_TENANT, "acme", "zeta"]
    assert await tenants_of_sessions(store.exports, 2) == [NO_TENANT, "acme"]
    await store.close()
