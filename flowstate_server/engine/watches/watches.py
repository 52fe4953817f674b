"""Watches: what a flow shows of a session, its user and its org, and every change to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.watches import (
    ShownScope,
    WatchCall,
    WatchEnded,
    WatchFrame,
    WatchHeartbeat,
    WatchStarted,
    WatchWhole,
)
from flowstate_server.engine.logs.following import Following, topic_of, topic_of_documents, topic_of_record
from flowstate_server.engine.logs.heartbeats import Heartbeats, heartbeat_interval
from flowstate_server.engine.records.projections import NONE, Projections
from flowstate_server.engine.records.session_reading import SessionRead
from flowstate_server.engine.records.session_view import SessionView
from flowstate_server.engine.records.snapshots import Snapshots, active_requests, session_cursor
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.watches.progress import WatchProgress
from flowstate_server.engine.watches.shared_projections import SharedProjections
from flowstate_server.errors import SessionNotFoundError, StoreUnavailableError
from flowstate_server.model.identity import Principal
from flowstate_server.stores.store import Store

# Seconds. The first change after a silence is shown at once, those of a burst come together: a run that streams text
# moves its session's log at each delta, and nobody looks that often. Chosen.
PAUSE = 0.05


class Watches:
    """A watch holds no queue: it reads the newest records when it is woken, and tells what differs from what it told.

    What a slow reader missed meanwhile comes as one change.
    """

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        projections: Projections,
        bindings: Bindings,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._shared = SharedProjections(projections)
        self._bindings = bindings
        self._settings = settings

    async def follow(self, principal: Principal, call: WatchCall) -> AsyncIterator[WatchFrame]:
        """The frames of a watch; see ``flowstate.v1.WatchSnapshotResponse``. Ends with :class:`WatchEnded`.

        Raises:
            SessionNotFoundError, ValidationFailedError: as :meth:`Snapshots.get`.
        """
        view, _ = await self._snapshots.read(principal, call.session_id, call.selectors)
        interval = heartbeat_interval(call.heartbeat, self._settings)
        topics = (
            topic_of(view.binding.key),
            *map(topic_of_record, view.keys.values()),
            *[topic_of_documents(view.keys[kind]) for kind in view.resources],
        )
        with self._store.watch(dict.fromkeys(topics)) as watch:
            following = Following(watch, lambda: self._read(view))
            read = await following.next()
            if read is None:
                raise SessionNotFoundError(call.session_id)
            heartbeats = Heartbeats(interval)
            progress = WatchProgress(session_cursor(read.projection))
            yield WatchStarted(progress.cursor, interval)
            scopes = await self._shown(view, read, progress)
            heartbeats.given()
            yield WatchWhole(
                progress.cursor,
                call.session_id,
                scopes,
                active_requests(read.projection),
                read.projection.time,
            )
            while True:
                await asyncio.sleep(PAUSE)
                try:
                    read = await following.next(at_latest=heartbeats.patience)
                except StoreUnavailableError:
                    if heartbeats.patience > 0:
                        raise
                else:
                    if read is None:
                        yield WatchEnded(progress.cursor)
                        return
                    scopes = await self._shown(view, read, progress)
                    for frame in progress.changes(scopes, session_cursor(read.projection)):
                        heartbeats.given()
                        yield frame
                if heartbeats.patience <= 0:
                    heartbeats.given()
                    yield WatchHeartbeat(progress.cursor)

    async def _read(self, view: SessionView) -> SessionRead | None:
        """The records; ``None`` once the session is deleted, even if there is another one under its id."""
        binding = view.binding
        read = await self._snapshots.reading.read(view)
        if read is not None and read.projection.session.log_id == binding.log_id:
            return read
        self._bindings.forget(binding.key)
        return None

    async def _shown(
        self, view: SessionView, read: SessionRead, progress: WatchProgress
    ) -> Sequence[ShownScope]:
        """What is to be told of each scope, if anything."""
        states = read.projection.states
        resources = {kind: read.resources.get(kind, NONE) for kind in view.keys}
        kinds = [
            kind for kind, key in view.keys.items() if progress.is_new(kind, states[key], resources[kind])
        ]
        records = [states[view.keys[kind]] for kind in kinds]
        projections = await asyncio.gather(
            *(
                self._shared.of(view.flow, kind, record, view.names[kind], resources[kind])
                for kind, record in zip(kinds, records, strict=True)
            )
        )
        told = map(progress.shown, records, projections, [resources[kind] for kind in kinds])
        return [scope for scope in told if scope is not None]
