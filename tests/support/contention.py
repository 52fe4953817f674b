"""A hundred writers of one record: what each writes, how, and what must be there in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowstate_client import FlowStateClient, ScopeHandle, StateWrite
from tests.support.fleets import Fleet
from tests.support.flows import written_fields

WRITES = 100
KIND = "ledger"


@dataclass(frozen=True)
class Contention:
    """Writer ``n`` adds 1 to one count, sets field ``n``, or sets key ``n`` of a map; in a session or a user's record.

    It writes itself or calls an action whose block writes. Writers of a user's record do so from a session each.
    """

    scope: Literal["session", "user"]
    writes: Literal["increments", "fields", "keys"]
    way: Literal["client", "action"]

    @property
    def id(self) -> str:
        return f"{self.scope}-{self.writes}-{self.way}"

    @property
    def user(self) -> str:
        return f"user of {self.id}"

    def record(self, client: FlowStateClient) -> ScopeHandle:
        if self.scope == "session":
            return client.state.session(self._session(0))
        return client.state.user(self.user, flow_kind=KIND)

    def final(self) -> dict[str, Any]:
        if self.writes == "increments":
            return {"count": WRITES}
        if self.writes == "fields":
            return {f"f{number}": number for number in range(WRITES)}
        return {"by_key": {f"k{number}": number for number in range(WRITES)}}

    async def prepare(self, client: FlowStateClient) -> None:
        if self.scope == "session" and self.way == "client":
            await client.sessions.create(KIND, session_id=self._session(0), user_id=self.user)

    async def write(self, client: FlowStateClient, number: int) -> int:
        """What writer ``number`` does; the version that it was told."""
        if self.way == "client":
            write = await self._operation(self.record(client), number)
            assert write.changed
            return write.version
        action, value = self._call(number)
        value["scope"] = self.scope
        session = self._session(number if self.scope == "user" else 0)
        return await client.flows.call(KIND, action, value, output=int, session_id=session, user_id=self.user)

    async def _operation(self, record: ScopeHandle, number: int) -> StateWrite:
        if self.writes == "increments":
            return await record.inc_state(count=1)
        if self.writes == "fields":
            return await record.patch_state({f"f{number}": number})
        return await record.set_state_record("by_key", f"k{number}", number)

    def _call(self, number: int) -> tuple[str, dict[str, Any]]:
        if self.writes == "increments":
            return "bump", {}
        if self.writes == "fields":
            return "put", {"field": f"f{number}", "value": number}
        return "put", {"key": f"k{number}", "value": number}

    def _session(self, number: int) -> str:
        return f"{self.id} {number}"


CONTENTIONS: Sequence[Contention] = [
    Contention(scope, writes, way)
    for scope in ("session", "user")
    for writes in ("increments", "fields", "keys")
    for way in ("client", "action")
]


async def contend(contention: Contention, fleet: Fleet) -> None:
    """All writers at once; every write lands, each as a version of its own."""
    await contention.prepare(fleet.client(0))
    versions = await asyncio.gather(
        *(contention.write(fleet.client(number), number) for number in range(WRITES))
    )
    assert sorted(versions) == list(range(1, WRITES + 1))
    for client in fleet.clients[:2]:
        record = await contention.record(client).get()
        assert record.version == WRITES
        assert written_fields(record.state) == contention.final()
