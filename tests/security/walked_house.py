"""A server with the house of a victim, for attackers to walk through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpc import aio

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds
from flowstate_server.model.json_values import encode_json
from flowstate_server.stores.contract.tables import EXPORTED, Table
from flowstate_server.stores.store import Store
from flowstate_server.testing.server import running_server
from tests.support.canaries import Canaries
from tests.support.furnished import Owner, furnish
from tests.support.house import House, house_flows
from tests.support.raw_answers import Metadata


@dataclass
class Walk:
    """A server with the victim's house, and the owners by the name of their token. ``store`` is what it serves."""

    store: Store
    channel: aio.Channel
    canaries: Canaries
    victim: House

    def owner(self, name: str) -> Owner:
        writer = (
            name.replace("eve", "trusted eve")
            .replace("ada", "trusted ada")
            .replace("trusted trusted", "trusted")
        )
        return Owner(self.channel, bearer_of(writer), bearer_of(name))

    async def house(self, name: str) -> House:
        """A new house of an attacker, that has its own names but for user and org."""
        gateway = name.startswith("gateway")
        drawn = drawn_house(Canaries(), name, user="" if gateway else "eve", bound=not gateway)
        return await furnish(self.owner(name), drawn)

    async def rows(self) -> set[str]:
        """Everything stored but the leases."""
        return {row async for row in self.each_row()}

    async def each_row(self) -> AsyncIterator[str]:
        exports = self.store.exports
        assert exports is not None
        tables: tuple[Table[Any, Any], ...] = EXPORTED
        for table in tables:
            after = None
            while page := await exports.export(table, after=after, limit=1000, max_bytes=1 << 30):
                for row in page:
                    if type(row).__name__ != "ProcessRecord":
                        yield repr(row)
                after = table.key_of(page[-1])


def bearer_of(name: str) -> Metadata:
    return (("authorization", f"Bearer token of {name}"), ("x-correlation-id", "c"))


def drawn_house(canaries: Canaries, whose: str, *, user: str = "", bound: bool = True) -> House:
    def word(place: str) -> str:
        return canaries(f"{whose}: {place}")

    tag = word("tag")
    return House(
        user=user or word("user"),
        org=f"{user}s" if user else word("org"),
        session=word("session"),
        ended=word("ended request"),
        bare=word("bare request"),
        open=word("open request"),
        key=word("key"),
        tag=tag,
        title=word("title"),
        metadata=encode_json({"of": tag}).decode(),
        text=word("text"),
        hidden=word("hidden text"),
        bound=bound,
    )


def write_tokens(folder: Path, ada: House) -> Path:
    """The file of everybody's tokens."""
    tokens = folder / "tokens.toml"
    entries = [("gateway of b", "b", "", "", "trusted")]
    for tenant, name, user, org in (
        ("a", "ada", ada.user, ada.org),
        ("a", "eve", "eve", "eves"),
        ("b", "eve", "eve", "eves"),
    ):
        entries += [
            (f"{name} of {tenant}", tenant, user, org, "client"),
            (f"trusted {name} of {tenant}", tenant, user, org, "trusted"),
        ]
    tokens.write_text(
        "\n".join(
            f'[[tokens]]\nname = "{name}"\ntoken = "token of {name}"\ntenant = "{tenant}"\nuser = "{user}"\n'
            f'org = "{org}"\nplane = "{plane}"\n'
            for name, tenant, user, org, plane in entries
        )
    )
    return tokens


@asynccontextmanager
async def walking(store: Store, folder: Path) -> AsyncIterator[Walk]:
    canaries = Canaries()
    ada = drawn_house(canaries, "ada")
    tokens = write_tokens(folder, ada)
    settings = EngineSettings(lease=Seconds(100_000.0))  # nothing is swept meanwhile
    async with running_server(house_flows(), store=store, settings=settings, tokens=tokens) as server:
        async with aio.insecure_channel(server.target) as channel:
            walk = Walk(store, channel, canaries, ada)
            walk.victim = await furnish(walk.owner("ada of a"), ada)
            yield walk
