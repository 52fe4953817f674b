"""A server with somebody's things in it, and those who will call it badly."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from grpc import aio

from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.testing.server_process import ServerProcess, server_process
from tests.fuzz.random_values import Names
from tests.security.walked_house import Walk, bearer_of, drawn_house, write_tokens
from tests.support.attack_calls import Call, calls
from tests.support.canaries import Canaries
from tests.support.furnished import furnish
from tests.support.house import APART, KIND, House
from tests.support.raw_answers import Metadata

APP = "tests.support.house_app:app"
SECRETS = frozenset(("ada: text", "ada: hidden text", "ada: title", "ada: tag"))
"""The canaries that no caller has ever heard of."""
LEASE = 100_000.0
"""Seconds. Nothing is swept meanwhile."""

CALLERS = ("eve of a", "trusted eve of a", "eve of b", "trusted eve of b", "gateway of b")
GATEWAY = "gateway of b"
"""It may act for any user of its tenant, and users are shared between tenants: it knows no victim."""


@dataclass
class Caller:
    bearer: Metadata
    names: Names
    """By field, what there is to be named, of one's own, of the victim and of nobody."""
    calls: Sequence[Call]
    """Calls with what is one's own, and with what is the victim's."""


@dataclass
class Fuzzed:
    server: ServerProcess
    walk: Walk
    before: set[str]
    """What was stored when there was the victim alone."""
    callers: Mapping[str, Caller]


@asynccontextmanager
async def fuzzed_server(folder: Path, chance: random.Random) -> AsyncIterator[Fuzzed]:
    """In a process of its own, on a file of SQLite that the test reads beside it."""
    canaries = Canaries(chance)
    ada = drawn_house(canaries, "ada")
    path = folder / "flowstate.db"
    settings = {"store": f"sqlite:///{path}", "tokens": write_tokens(folder, ada), "lease": LEASE}
    async with (
        server_process(APP, log_level="warning", **settings) as server,
        aio.insecure_channel(server.target) as channel,
    ):
        store = SqliteStore(path)
        await store.open()
        try:
            walk = Walk(store, channel, canaries, ada)
            walk.victim = await furnish(walk.owner("ada of a"), ada)
            before = await walk.rows()
            yield Fuzzed(server, walk, before, {name: await _caller(walk, name, chance) for name in CALLERS})
        finally:
            await store.close()


async def _caller(walk: Walk, name: str, chance: random.Random) -> Caller:
    bound = name != GATEWAY
    drawn = drawn_house(Canaries(chance), name, user="eve" if bound else "", bound=bound)
    own = await furnish(walk.owner(name), drawn)
    others = [_without_texts(walk.victim)] if bound else []
    nobody = drawn_house(Canaries(chance), "nobody").issued("n")
    # Mostly what is one's own: most of what others have is refused before anything is looked at.
    houses = [own, own, own, *others, nobody]
    return Caller(
        bearer_of(name), _names(houses), [*calls(own), *(call for house in others for call in calls(house))]
    )


def _without_texts(victim: House) -> House:
    """What is not known of it is what nobody may learn."""
    return replace(
        victim, text="guess", hidden="guess", title="guess", tag="guess", metadata='{"of": "guess"}'
    )


def _names(houses: Sequence[House]) -> Names:
    def each(get: Callable[[House], str]) -> list[str]:
        return [name for house in houses if (name := get(house))]

    incarnations = [*each(lambda house: house.incarnation), *each(lambda house: house.of_user)]
    items = [*each(lambda house: house.item), *each(lambda house: house.outside)]
    logs = [*each(lambda house: house.log), *each(lambda house: house.session_log)]
    return {
        "session_id": each(lambda house: house.session),
        "request_id": [*each(lambda house: house.open), *each(lambda house: house.ended)],
        "user_id": each(lambda house: house.user),
        "org_id": each(lambda house: house.org),
        "flow_kind": [KIND, KIND, KIND, APART],
        "action": ["say"],
        "idempotency_key": each(lambda house: house.key),
        "incarnation": [*incarnations, *each(lambda house: house.paper)],
        "log_id": [*logs, *each(lambda house: house.open_log)],
        "page_token": [token for house in houses for token in house.tokens.values()],
        "item_ids": items,
        "after_item_id": items,
        "item_id": items,
        "entry_id": each(lambda house: house.entry),
        "resource": ["paper", "papers/1"],
        "name": ["paper", "papers/1", "shown"],
        "name_prefix": ["paper", "pa"],
        "names": ["shown", "long", "hidden"],
        "kind": ["message", "reasoning", "tool_call", "tool_output", "custom", "error"],
        "role": ["user", "assistant"],
        "types": ["item.done", "custom", "state.changed", "request.completed"],
        "path": ["/shown", "/hidden", "", "/hidden/0"],
        "paths": ["/shown", "/hidden", "title", "tags", "metadata", "description", "state", "content"],
        "media_type": ["text/plain", "application/octet-stream"],
        "upload_id": ["u"],
    }
