"""The engine: everything that serves one store with one catalogue of flows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.fleet import Fleet
from flowstate_server.engine.lifespan import Lifespan, OpenLifespan, nothing
from flowstate_server.engine.logs.events import Events
from flowstate_server.engine.records.contents import Contents
from flowstate_server.engine.records.deletions import Deletions
from flowstate_server.engine.records.expiry import Expiry
from flowstate_server.engine.records.item_appends import ItemAppends
from flowstate_server.engine.records.item_removals import ItemRemovals
from flowstate_server.engine.records.items import Items
from flowstate_server.engine.records.journals import Journals
from flowstate_server.engine.records.new_sessions import NewSessions
from flowstate_server.engine.records.projections import Projections
from flowstate_server.engine.records.request_lists import RequestLists
from flowstate_server.engine.records.resolved_sessions import ResolvedSessions
from flowstate_server.engine.records.resource_answers import ResourceAnswers
from flowstate_server.engine.records.resource_targets import ResourceTargets
from flowstate_server.engine.records.resource_transfers import ResourceTransfers
from flowstate_server.engine.records.resource_views import ResourceViews
from flowstate_server.engine.records.resource_writing import ResourceWriting
from flowstate_server.engine.records.resources import Resources
from flowstate_server.engine.records.session_updates import SessionUpdates
from flowstate_server.engine.records.sessions import Sessions
from flowstate_server.engine.records.snapshots import Snapshots
from flowstate_server.engine.records.states import States
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.dispatcher import Dispatcher
from flowstate_server.engine.runs.requests import Requests
from flowstate_server.engine.runs.run_factory import RunFactory
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.runs.sweeper import Sweeper
from flowstate_server.engine.runs.turns import Turns
from flowstate_server.engine.runs.unbegun import Patience
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.store_monitor import StoreMonitor
from flowstate_server.engine.watches.watches import Watches
from flowstate_server.model.clock import Seconds, micros
from flowstate_server.observation import NOBODY, Observer, shielded
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.blobs import Blobs, BlobTimes
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.store import Store


class Engine:
    """Runs flows on a store and answers calls. :meth:`open` it before use, :meth:`close` it after.

    ``refuse`` raises if the store is not to be served. It is asked before the engine takes its lease and after, when
    whoever looks for servers sees this one. ``lifespan`` is entered before the lease is taken, so that it may take its
    time, and left when all runs have ended. ``blobs`` keeps the content of resources, ``None``: the store itself.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: EngineSettings | None = None,
        *,
        refuse: Callable[[Store], Awaitable[None]] | None = None,
        observer: Observer = NOBODY,
        lifespan: Lifespan = nothing,
        blobs: BlobPieces | None = None,
    ) -> None:
        self.store = store
        self._refuse = refuse
        self.catalogue = catalogue
        self.settings = settings or EngineSettings()
        self.observer = shielded(observer)
        store.tell(self.observer)
        bindings = Bindings(store)
        self.supervisor = Supervisor(store, self.settings)
        self._fleet = Fleet(store, catalogue, self.settings, lambda: self.supervisor.process_id)
        self.deletions = Deletions(store, bindings)
        self.expiry = Expiry(store, catalogue, self.deletions)
        times = BlobTimes(micros(self.settings.upload_retention), micros(self.settings.content_retention))
        self.blobs = Blobs(store, blobs, times)
        self.sweeper = Sweeper(store, self.settings, self.supervisor, self.expiry.round, self.blobs)
        self.store_monitor = StoreMonitor(store)
        self._lifespan = OpenLifespan(lifespan)
        rehearsals = Rehearsals()
        contents = Contents(store, self.blobs)
        self._factory = factory = RunFactory(
            store, catalogue, self.settings, self.observer, rehearsals, contents
        )
        self.patience = Patience(store, self.settings)
        self.turns = Turns(store, catalogue, self.supervisor, factory, self.settings, rehearsals)
        self.dispatcher = Dispatcher(
            store=store,
            catalogue=catalogue,
            bindings=bindings,
            supervisor=self.supervisor,
            factory=factory,
            settings=self.settings,
            rehearsals=rehearsals,
            patience=self.patience,
        )
        self.requests = Requests(store, self.supervisor, self.settings)
        self.events = Events(store, catalogue, self.settings, self.observer)
        new_sessions = NewSessions(catalogue, self.settings, rehearsals)
        self.sessions = Sessions(store, bindings, new_sessions, self.settings)
        self.resolved_sessions = ResolvedSessions(store, bindings, new_sessions)
        self.session_updates = SessionUpdates(store, bindings, self.settings)
        projections = Projections(catalogue)
        self.snapshots = Snapshots(store, catalogue, bindings, projections)
        self.watches = Watches(store, self.snapshots, projections, bindings, self.settings)
        self.states = States(store, catalogue, bindings, self.settings, rehearsals)
        targets = ResourceTargets(store, catalogue, bindings, self.settings)
        writing = ResourceWriting(store, self.settings, rehearsals)
        answers = ResourceAnswers(store, targets, ResourceViews(catalogue), self.blobs)
        self.resources = Resources(store, bindings, self.settings, targets, writing, answers, contents)
        self.resource_transfers = ResourceTransfers(
            store, bindings, self.settings, targets, writing, answers, self.blobs, contents
        )
        self.journals = Journals(store, bindings, self.settings)
        self.item_appends = ItemAppends(store, bindings, self.settings)
        self.item_removals = ItemRemovals(store, bindings, self.settings)
        self.items = Items(store, bindings, self.settings)
        self.request_lists = RequestLists(store, bindings, self.settings)

    @property
    def instance_id(self) -> str:
        """The id of this server process; a new one after it was fenced."""
        return self.supervisor.process_id

    async def open(self) -> None:
        """Open the store, enter the lifespan, take the lease, and begin to sweep what dead processes left.

        Raises:
            CrossFlowSchemaConflictError: another process on the store serves a flow that declares shared state
                otherwise.
            LifespanError: the lifespan failed; all else is closed again.
        """
        async with AsyncExitStack() as opened:
            await self.store.open()
            opened.push_async_callback(self.store.close)
            await self._check()
            await self._fleet.check()  # who would be refused is to be seen by nobody
            opened.push_async_callback(self._lifespan.close)
            self._factory.dependencies = await self._lifespan.open()
            opened.push_async_callback(self._fleet.close)
            await self.supervisor.open()
            opened.push_async_callback(self.supervisor.close, Seconds(0.0))
            await self._check()
            await self._fleet.join()
            self._fleet.open()
            self.sweeper.open()
            self.store_monitor.open()
            self.patience.open()
            self.turns.open()
            opened.pop_all()

    async def _check(self) -> None:
        if self._refuse is not None:
            await self._refuse(self.store)

    async def close(self, drain: Seconds = Seconds(0.0)) -> None:
        """Give runs ``drain`` seconds to end, end the others as interrupted, leave the lifespan and close the store."""
        await self.turns.close()
        await self.patience.close()
        await self.store_monitor.close()
        await self.sweeper.close()
        await self.supervisor.close(drain)
        await self._fleet.close()
        await self._lifespan.close()
        await self.store.close()
