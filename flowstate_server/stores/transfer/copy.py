"""Copying all that one store keeps into another."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.clock import SECOND
from flowstate_server.model.events import EventRecord
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestRecord,
    RequestStatus,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.exporting import Exporting
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.writes import ImportInterrupted, ImportRecords
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.naming import named
from flowstate_server.stores.transfer.pages import (
    BYTES,
    COPY_METHOD,
    EVENTS,
    event_pages,
    key_pages,
    request_pages,
    session_pages,
    state_pages,
)
from flowstate_server.stores.transfer.serving import serving

REMEMBERED = 30 * 24 * 3600 * SECOND
COPIER = "flowstate store copy"
STAGES = 7
UNFINISHED = (
    "it holds an unfinished copy; finish it with 'flowstate store copy FROM TO', or begin with an empty store"
)
PLACES = IdempotencyKey("", COPIER, COPY_METHOD, "")


class CopyRefused(Exception):
    """The store can't be copied, or not into that one; the text says why."""


@dataclass(slots=True)
class Copied:
    """How much has been copied so far, by kind: ``sessions``, ``requests``, ``events``, ``states``, and so on."""

    counts: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def add(self, records: ImportRecords) -> None:
        for name in ("processes", "sessions", "requests", "events", "states", "idempotency_keys"):
            rows = getattr(records, name)
            if rows:
                self.counts[name] = self.counts.get(name, 0) + len(rows)


def silently(copied: Copied) -> None:
    """Report nothing."""


async def copy_store(
    source: Exporting, target: Store, *, name: str, report: Callable[[Copied], None] = silently
) -> Copied:
    """Copy everything of ``source`` into ``target``; both are open, and nobody serves either.

    A copy that was interrupted goes on where it was when it is called again with the same ``name``, which stands for
    the source. ``report`` is called after each batch.

    Raises:
        CopyRefused: the target has something else in it or a server uses it, another copy runs, the source is itself
            half a copy, a record of it can't be understood, or the stores can't do it.
    """
    if not isinstance(target, Exporting):
        raise CopyRefused("the target can't tell how far a copy has come: it does not export")
    copy = _Copy(source, target, target, name)
    await copy.begin()
    async for copied in copy.run():
        report(copied)
    return copy.copied


async def refuse_unfinished_copy(store: Store) -> None:
    """For whoever is about to serve the store: its sweeper would end requests that are imported in part.

    Raises:
        StoreOpenError: a copy into the store was begun and not finished.
    """
    if isinstance(store, Exporting) and await _unfinished(store):
        raise StoreOpenError(problem=UNFINISHED)


class _Copy:
    """Stage after stage, page after page; each page is committed together with the place behind it."""

    def __init__(self, source: Exporting, target: Store, kept: Exporting, name: str) -> None:
        self._source = source
        self._target = target
        self._kept = kept
        self._key = replace(PLACES, key=hashlib.sha256(name.encode()).hexdigest())
        self._known: bytes | None = None
        self._stage = 0
        self._after: list[Json] = []
        self._expire = 0
        self.copied = Copied()

    async def begin(self) -> None:
        """Find how far an earlier copy has come, else make sure that the target is empty."""
        if await _unfinished(self._source):
            raise CopyRefused("the source holds an unfinished copy")
        await self._refuse_served()
        self._expire = await self._target.time() + REMEMBERED
        for known in await _places(self._kept):
            if known.key == self._key:
                self._resume(known)
                return
        if (
            await self._kept.export_sessions(after=None, limit=1)
            or await self._kept.export_states(after=None, limit=1, max_bytes=BYTES)
            or await self._kept.export_idempotency_keys(after=None, limit=1, max_bytes=BYTES)
        ):
            raise CopyRefused("the target is not empty, and no copy of this source was begun in it")
        await self._commit(_nothing(), self._stage, self._after)

    async def _refuse_served(self) -> None:
        """A server looks for a copy after it has taken its lease, and a copy for leases after it has left its place:
        of two that begin at once, one sees the other."""
        imported = {record.process for record in await self._source.read_processes()}
        for process, _ in await serving(self._target):
            if process not in imported:
                raise CopyRefused(f"the server {process} uses the target, stop it")

    async def run(self) -> AsyncIterator[Copied]:
        stages = (
            self._processes,
            self._sessions,
            self._requests_begun,
            self._events,
            self._requests_as_they_are,
            self._states,
            self._idempotency_keys,
        )
        assert len(stages) == STAGES
        while self._stage < STAGES:
            await self._refuse_served()
            try:
                async for records, after in stages[self._stage](self._after):
                    await self._commit(records, self._stage, after)
                    yield self.copied
            except DamagedRecord as damage:
                raise CopyRefused(f"{named(damage.key)} in the source can't be understood") from damage
            self._stage += 1
            self._after = []
        await self._refuse_served()
        self.copied.done = True
        await self._commit(_nothing(), self._stage, [])
        yield self.copied

    def _resume(self, known: IdempotencyRecord) -> None:
        self._known = known.reply
        place = _place(known)
        self._stage, self._after = place["stage"], place["after"]
        self.copied.counts = place["counts"]

    async def _commit(self, records: ImportRecords, stage: int, after: list[Json]) -> None:
        self.copied.add(records)
        reply = encode_json({"stage": stage, "after": after, "counts": cast(Json, self.copied.counts)})
        progress = IdempotencyRecord(self._key, COPIER, reply, self._expire)
        try:
            await self._target.commit((replace(records, progress=progress, expected=self._known),))
        except ImportInterrupted:
            raise CopyRefused("another copy is writing to the same target") from None
        self._known = reply

    # --- stages: each yields records and the place behind them

    async def _processes(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        processes = await self._source.read_processes()
        if processes:
            yield replace(_nothing(), processes=tuple(processes)), []

    async def _sessions(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        async for page in session_pages(self._source, _session_key(after)):
            sessions = tuple([(one.record, one.head) for one in page])
            yield replace(_nothing(), sessions=sessions), [*page[-1].key]

    async def _requests_begun(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        async for page in request_pages(self._source, _request_key(after)):
            yield replace(_nothing(), requests=tuple([_begun(one) for one in page])), [*page[-1].key]

    async def _requests_as_they_are(
        self, after: list[Json]
    ) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        async for page in request_pages(self._source, _request_key(after)):
            yield replace(_nothing(), requests=tuple(page)), [*page[-1].key]

    async def _events(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        """Of many small sessions at once; ``after`` is the session, its log and the last event of it."""
        waiting = _Waiting()
        if after:
            tenant, session_id, log_id, sequence = cast(tuple[str, str, str, int], tuple(after))
            session = SessionKey(tenant, session_id)
            async for page in event_pages(self._source, session, log_id, sequence):
                yield _of_events(page), _behind(page)
        async for sessions in session_pages(self._source, _session_key(after[:2])):
            for stored in sessions:
                async for page in event_pages(self._source, stored.record.key, stored.record.log_id):
                    waiting.add(page)
                    if waiting.enough:
                        taken = waiting.take()
                        yield _of_events(taken), _behind(taken)
        if waiting.events:
            yield _of_events(waiting.events), _behind(waiting.events)

    async def _states(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        place = None
        if after:
            kind, tenant, id, flow_kind = cast(tuple[str, str, str, str], tuple(after))
            place = ScopeKey(ScopeKind(kind), tenant, id, flow_kind)
        async for page in state_pages(self._source, place):
            yield replace(_nothing(), states=tuple(page)), [*page[-1].key]

    async def _idempotency_keys(self, after: list[Json]) -> AsyncIterator[tuple[ImportRecords, list[Json]]]:
        place = IdempotencyKey(*cast(list[str], after)) if after else None
        async for page in key_pages(self._source, place):
            if page:
                key = page[-1].key
                behind: list[Json] = [key.tenant, key.principal, key.method, key.key]
                yield replace(_nothing(), idempotency_keys=tuple(page)), behind


class _Waiting:
    """Events that wait for company."""

    def __init__(self) -> None:
        self.events: list[EventRecord] = []
        self._bytes = 0

    def add(self, page: Sequence[EventRecord]) -> None:
        self.events += page
        self._bytes += sum([record.size for record in page])

    @property
    def enough(self) -> bool:
        return len(self.events) >= EVENTS or self._bytes >= BYTES

    def take(self) -> list[EventRecord]:
        taken, self.events, self._bytes = self.events, [], 0
        return taken


async def _places(store: Exporting) -> list[IdempotencyRecord]:
    """How far copies into the store have come."""
    found = await store.export_idempotency_keys(after=PLACES, limit=10, max_bytes=BYTES)
    return [known for known in found if replace(known.key, key="") == PLACES]


async def _unfinished(store: Exporting) -> bool:
    return any(_place(known)["stage"] < STAGES for known in await _places(store))


def _place(known: IdempotencyRecord) -> dict[str, Any]:
    return cast(dict[str, Any], decode_json(known.reply))


def _nothing() -> ImportRecords:
    return ImportRecords(IdempotencyRecord(IdempotencyKey("", "", "", ""), "", b"", 0), None)


def _of_events(events: Sequence[EventRecord]) -> ImportRecords:
    return replace(_nothing(), events=tuple(events))


def _behind(events: Sequence[EventRecord]) -> list[Json]:
    last = events[-1]
    return [*last.session, last.session_log_id, last.session_sequence]


def _begun(request: RequestRecord) -> RequestRecord:
    """The request before its end: an ended one's events could not be appended."""
    if not request.head.status.ended:
        return request
    head = replace(request.head, status=RequestStatus.IN_PROGRESS, turn=0, end_time=0)
    return replace(request, head=head, output=None, failure=None)


def _session_key(after: Sequence[Json]) -> SessionKey | None:
    return SessionKey(*cast(Sequence[str], after)) if after else None


def _request_key(after: Sequence[Json]) -> RequestKey | None:
    return RequestKey(*cast(Sequence[str], after)) if after else None
