"""The engine: everything that serves one store with one catalogue of flows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.lifespan import Lifespan, OpenLifespan, nothing
from flowstate_server.engine.logs.events import Events
from flowstate_server.engine.records.journals import Journals
from flowstate_server.engine.records.projections import Projections
from flowstate_server.engine.records.sessions import Sessions
from flowstate_server.engine.records.snapshots import Snapshots
from flowstate_server.engine.records.states import States
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.dispatcher import Dispatcher
from flowstate_server.engine.runs.requests import Requests
from flowstate_server.engine.runs.run_factory import RunFactory
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.runs.sweeper import Sweeper
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.store_monitor import StoreMonitor
from flowstate_server.engine.watches.watches import Watches
from flowstate_server.model.clock import Seconds
from flowstate_server.observation import NOBODY, Observer, shielded
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.store import Store


class Engine:
    """Runs flows on a store and answers calls. :meth:`open` it before use, :meth:`close` it after.

    ``refuse`` raises if the store is not to be served. It is asked before the engine takes its lease and after, when
    whoever looks for servers sees this one. ``lifespan`` is entered before the lease is taken, so that it may take its
    time, and left when all runs have ended.
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
    ) -> None:
        self.store = store
        self._refuse = refuse
        self.catalogue = catalogue
        self.settings = settings or EngineSettings()
        self.observer = shielded(observer)
        store.tell(self.observer)
        bindings = Bindings(store)
        self.supervisor = Supervisor(store, self.settings)
        self.sweeper = Sweeper(store, self.settings, self.supervisor)
        self.store_monitor = StoreMonitor(store)
        self._lifespan = OpenLifespan(lifespan)
        rehearsals = Rehearsals()
        self._factory = factory = RunFactory(
            store, catalogue, self.supervisor, self.settings, self.observer, rehearsals
        )
        self.dispatcher = Dispatcher(
            store=store,
            catalogue=catalogue,
            bindings=bindings,
            supervisor=self.supervisor,
            factory=factory,
            settings=self.settings,
            rehearsals=rehearsals,
        )
        self.requests = Requests(store, self.supervisor, self.settings)
        self.events = Events(store, catalogue, bindings, self.settings, self.observer)
        self.sessions = Sessions(store, catalogue, bindings, self.settings, rehearsals)
        projections = Projections(catalogue)
        self.snapshots = Snapshots(store, catalogue, bindings, projections)
        self.watches = Watches(store, self.snapshots, projections, bindings, self.settings)
        self.states = States(store, catalogue, bindings, self.settings, rehearsals)
        self.journals = Journals(store, bindings, self.settings)

    @property
    def instance_id(self) -> str:
        """The id of this server process; a new one after it was fenced."""
        return self.supervisor.process_id

    async def open(self) -> None:
        """Open the store, enter the lifespan, take the lease, and begin to sweep what dead processes left.

        Raises:
            LifespanError: the lifespan failed; all else is closed again.
        """
        async with AsyncExitStack() as opened:
            await self.store.open()
            opened.push_async_callback(self.store.close)
            await self._check()
            opened.push_async_callback(self._lifespan.close)
            self._factory.dependencies = await self._lifespan.open()
            await self.supervisor.open()
            opened.push_async_callback(self.supervisor.close, Seconds(0.0))
            await self._check()
            self.sweeper.open()
            self.store_monitor.open()
            opened.pop_all()

    async def _check(self) -> None:
        if self._refuse is not None:
            await self._refuse(self.store)

    async def close(self, drain: Seconds = Seconds(0.0)) -> None:
        """Give runs ``drain`` seconds to end, end the others as interrupted, leave the lifespan and close the store."""
        await self.store_monitor.close()
        await self.sweeper.close()
        await self.supervisor.close(drain)
        await self._lifespan.close()
        await self.store.close()
