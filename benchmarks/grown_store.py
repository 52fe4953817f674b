"""Fills an empty store: ``python -m benchmarks.grown_store FROM TO SESSIONS``.

``FROM`` holds a session in which a server ran one turn. Its records are taken over again and again, under other ids
and times, by the import that ``flowstate store copy`` uses: so the rows are those that the product writes. Transient
events are left out, as a server sweeps them after ten minutes. A small store is checked at last, as ``flowstate store
check`` does.

A process of its own: it needs the insides of the product, which no benchmark sees.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.grown_plan import LONG, LONG_OWNER, TEN, TURNS, owner, request_id, session_id
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey
from flowstate_server.model.events import EventRecord
from flowstate_server.model.identity import Tenant
from flowstate_server.model.ids import new_id, new_log_id
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import (
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope, user_scope
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.contract.writes import ImportRecords
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store
from flowstate_server.stores.transfer.copy import STAGES
from flowstate_server.stores.transfer.pages import COPY_PLACE

DAYS = 90
"""So long ago is the first session."""
TENS = 20
"""Ten sessions so many times are a commit."""
DAY = 86_400 * SECOND
IMPORTED = (
    tables.SESSIONS,
    tables.SESSION_HEADS,
    tables.REQUESTS,
    tables.EVENTS,
    tables.TURNS,
    tables.STATES,
)
CHECKED = 10_000
"""Sessions of the largest store that is checked: with a million that takes some minutes."""


@dataclass(frozen=True)
class Template:
    """The records of a session with one turn."""

    session: SessionRecord
    head: SessionHead
    request: RequestRecord
    events: Sequence[EventRecord]
    state: StateRecord
    item_id: bytes

    @classmethod
    async def read(cls, store: Store) -> Template:
        """
        Raises:
            ValueError: the store has not exactly one session with a state.
        """

        async def all_of(table: Table[Any, Any]) -> Sequence[Any]:
            assert store.exports is not None
            return await store.exports.export(table, after=None, limit=100, max_bytes=1024 * 1024)

        (state,) = await all_of(tables.STATES)
        key = SessionKey(state.key.tenant, state.key.id)
        (session,) = [one for one in await all_of(tables.SESSIONS) if one.key == key]
        (head,) = [one for one in await all_of(tables.SESSION_HEADS) if one.key == key]
        (request,) = [one for one in await all_of(tables.REQUESTS) if one.head.session == key]
        events = [one for one in await all_of(tables.EVENTS) if one.session == key]
        (item,) = [one.event.item for one in events if one.event.item is not None]
        durable = [one for one in events if not one.event.transient]
        return cls(session, head, request, durable, state, item.item_id.encode())


Records = dict[Table[Any, Any], list[Any]]


class GrowingSession:
    """A session to which turns are added; ``records`` gets what is new of it."""

    def __init__(self, template: Template, tenant: str, user: str, session: str, time: Micros) -> None:
        self._template = template
        self._key = SessionKey(Tenant(tenant), session)
        self._user = user
        self._log_id = new_log_id()
        self._turns = 0
        self._time = time

    def begin(self, records: Records) -> None:
        session = self._template.session
        records[tables.SESSIONS].append(
            replace(
                session,
                key=self._key,
                log_id=self._log_id,
                user_id=self._user,
                create_time=self._time,
                update_time=self._time,
            )
        )

    def turn(self, request: str, time: Micros, records: Records) -> None:
        """A turn that begins at ``time``."""
        before = self._template.request.head
        later = time - before.create_time
        records[tables.EVENTS] += self._events(request, later)
        self._turns += 1
        self._time = Micros(before.end_time + later)
        head = replace(
            before,
            key=RequestKey(self._key.tenant, request),
            session=self._key,
            session_log_id=self._log_id,
            log_id=new_log_id(),
            user_id=self._user,
            create_time=time,
            end_time=self._time,
        )
        scopes = (session_scope(self._key), user_scope(self._user))
        records[tables.REQUESTS].append(replace(self._template.request, head=head, scopes=scopes))
        records[tables.TURNS].append(TurnRecord(TurnKey(self._key, self._log_id, self._turns), request))

    def _events(self, request: str, later: int) -> Iterator[EventRecord]:
        before = self._turns * self._template.head.sequence
        known, item_id = self._template.item_id, new_id("item_")
        for record in self._template.events:
            event = record.event
            if event.item is not None:
                event = replace(event, item=replace(event.item, item_id=item_id))
            elif known in event.payload:
                event = replace(event, payload=event.payload.replace(known, item_id.encode()))
            yield replace(
                record,
                event=event,
                session=self._key,
                session_log_id=self._log_id,
                session_sequence=before + record.session_sequence,
                request_id=request,
                time=Micros(record.time + later),
            )

    def end(self, records: Records) -> None:
        """Its head and its state as they are now."""
        sequence = self._turns * self._template.head.sequence
        records[tables.SESSION_HEADS].append(
            SessionHead(self._key, self._log_id, sequence, self._turns, self._time)
        )
        if self._turns:
            text = encode_json({"count": self._turns})
            state = replace(
                self._template.state,
                key=session_scope(self._key),
                version=self._turns,
                incarnation=self._log_id,
                text=text,
                update_time=self._time,
            )
            records[tables.STATES].append(state)


def grown(template: Template, sessions: int, now: Micros) -> Iterator[Records]:
    """The records of each commit. The tenth part of all turns, in the long session, lies between those of others."""
    step = DAYS * DAY // sessions
    first = now - step * sessions
    long = GrowingSession(template, *LONG_OWNER, LONG, Micros(first))
    for begin in range(0, sessions // TEN, TENS):
        records: Records = {table: [] for table in IMPORTED}
        if not begin:
            long.begin(records)
        for ten in range(begin, min(begin + TENS, sessions // TEN)):
            began = first + step * TEN * ten
            requests = 0
            for place, turns in enumerate(TURNS):
                number = ten * TEN + place
                time = Micros(began + step * place)
                session = GrowingSession(template, *owner(ten), session_id(number), time)
                session.begin(records)
                for turn in range(turns):
                    session.turn(request_id(ten, requests), Micros(time + turn), records)
                    requests += 1
                session.end(records)
            long.turn(request_id(ten, requests), Micros(began + step * TEN - 1), records)
        long.end(records)
        yield records


async def fill(store: Store, template: Template, sessions: int) -> None:
    """Commit after commit, each with the place that tells how far a copy is; at last that it is through."""
    key = DocumentKey(STORE_OWNER, COPY_PLACE, ("grown",))
    known: bytes | None = None

    async def take(imported: Sequence[tuple[Table[Any, Any] | None, Sequence[Any]]], stage: int) -> None:
        nonlocal known
        writes = []
        for table, records in imported:
            text = encode_json({"stage": stage, "after": None, "counts": {}})
            place = Document(key, 1, "copy", text, Micros(0), Micros(0), Micros(0))
            writes.append(ImportRecords(place, known, table, records))
            known = text
        await store.commit(tuple(writes))

    for records in grown(template, sessions, await store.time()):
        await take([(table, records[table]) for table in IMPORTED], 0)
    await take([(None, ())], len(STAGES))


async def main(source: str, target: str, sessions: int) -> None:
    async with opened(source) as store:
        template = await Template.read(store)
    async with opened(target) as store:
        await fill(store, template, sessions)
        if sessions <= CHECKED:
            problems = [problem async for problem in check_store(store)]
            if problems:
                raise SystemExit(f"{len(problems)} problems, the first: {problems[0]}")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = store_from_url(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grown_store", description=__doc__)
    parser.add_argument("source", metavar="FROM")
    parser.add_argument("target", metavar="TO")
    parser.add_argument("sessions", type=int, metavar="SESSIONS")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    asyncio.run(main(given.source, given.target, given.sessions))
