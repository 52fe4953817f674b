"""Flows that share the record of a user, and services that write it, lose nothing of each other's."""

from __future__ import annotations

import asyncio

from flowstate_client import StateWrite
from tests.support.fleets import Fleet
from tests.support.flows import written_fields

SESSIONS = 100


async def test_two_flows_write_different_fields_of_one_user_from_a_hundred_sessions(fleet: Fleet) -> None:
    """The one the fields, the other the keys of a map; besides, a service adds, which names neither of them."""

    async def call(number: int) -> int:
        kind, where = (("ledger", "field"), ("other", "key"))[number % 2]
        name = f"f{number}" if where == "field" else f"k{number}"
        value = {where: name, "value": number, "scope": "user"}
        return await fleet.client(number).flows.call(
            kind, "put", value, output=int, session_id=f"s{number}", user_id="ada"
        )

    async def add(number: int) -> StateWrite:
        return await fleet.client(number).state.user("ada").inc_state(count=1)

    calls = asyncio.gather(*map(call, range(SESSIONS)))
    writes = asyncio.gather(*map(add, range(SESSIONS)))
    versions = [*await calls, *(write.version for write in await writes)]
    assert sorted(versions) == list(range(1, 2 * SESSIONS + 1))
    record = await fleet.client(0).state.user("ada").get()
    assert record.version == 2 * SESSIONS
    assert written_fields(record.state) == {
        "count": SESSIONS,
        "by_key": {f"k{number}": number for number in range(1, SESSIONS, 2)},
        **{f"f{number}": number for number in range(0, SESSIONS, 2) if number},
        "f0": 0,
    }
    assert not (await fleet.client(0).state.user("ada", flow_kind="private").get()).exists
