"""The application: flows, and the store they live on."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping

from flowstate_server.engine.engine import Engine
from flowstate_server.engine.lifespan import Lifespan, nothing
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import LifespanError, StoreUnavailableError, StoreUnreachableError
from flowstate_server.observation import NOBODY, Observer
from flowstate_server.profiles import DEFAULT, StoreProfile, blob_slots, primaries
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.named_arguments import by_name
from flowstate_server.programs.program import HostedFlow
from flowstate_server.settings import Settings
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import refuse_unfinished_copy

__all__ = [
    "FlowState",
    "Lifespan",
    "LifespanError",
    "StoreUnavailableError",
    "StoreUnreachableError",
    "create_flowstate",
    "store_from_url",
]


class FlowState:
    """Flows that are served together, and the stores they may live on. Make it with :func:`create_flowstate`."""

    def __init__(
        self,
        catalogue: Catalogue,
        stores: Mapping[str, Store],
        observer: Observer = NOBODY,
        lifespan: Lifespan = nothing,
        blobs: Mapping[str, BlobPieces] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self._stores = stores
        self._blobs = blobs or {}
        self._observer = observer
        self._lifespan = lifespan

    @property
    def store(self) -> Store:
        """The primary store of the profile ``default``."""
        return self._stores[DEFAULT]

    def store_of(self, profile: str | None) -> Store:
        """The primary store of a profile, ``default`` where none is named.

        Raises:
            ValueError: there is no such profile.
        """
        profile = DEFAULT if profile is None else profile
        if profile not in self._stores:
            raise ValueError(f"there is no store profile {profile!r}, only {', '.join(sorted(self._stores))}")
        return self._stores[profile]

    def chosen_store(self, settings: Settings) -> Store:
        """The store that the settings name by URL, else the primary one of the profile that they name.

        Raises:
            ValueError: there is no such store or profile.
        """
        if settings.store is not None:
            return store_from_url(settings.store)
        return self.store_of(settings.profile)

    def engine(
        self,
        store: Store | None = None,
        settings: EngineSettings | None = None,
        *,
        lifespan: Lifespan | None = None,
    ) -> Engine:
        """An engine, not yet opened, that runs these flows on ``store`` and in ``lifespan`` (default: the
        application's own).

        A store that holds an unfinished copy it refuses to open, with ``StoreOpenError``.
        """
        chosen = store or self.store
        profile = next((name for name, kept in self._stores.items() if kept is chosen), "")
        return Engine(
            chosen,
            self.catalogue,
            settings,
            refuse=refuse_unfinished_copy,
            observer=self._observer,
            lifespan=lifespan or self._lifespan,
            blobs=self._blobs.get(profile),
        )


def _without_name(given: object, *_: object) -> TypeError:
    problem = "takes its flows by name: write create_flowstate(flows=[...])"
    return TypeError(
        f"create_flowstate {problem}, not create_flowstate(a value of type {type(given).__name__})"
    )


@by_name(_without_name)
def create_flowstate(
    *,
    flows: Iterable[HostedFlow],
    stores: Mapping[str, StoreProfile] | None = None,
    observer: Observer = NOBODY,
    lifespan: Lifespan = nothing,
    strict: bool = False,
) -> FlowState:
    """An application of ``flows``, made by ``define_flow``, or of programs of other make.

    ``stores`` maps the names of profiles to stores, or to stores by slot: ``primary`` is required; ``blobs`` takes what
    keeps large content where the primary is not to; ``queue`` and ``scheduler`` are reserved, taken and not used yet. A
    server serves the profile ``default`` unless it is told another one. Without ``stores`` state lives in memory and
    ends with the process. ``observer`` is told what the server does, for metrics and traces.

    ``lifespan`` makes an async context manager, as a function under ``@asynccontextmanager`` does. It is entered when
    an engine opens, before anything is served, and left when the last run has ended; if it raises nothing is served.
    Blocks reach what it yields by its type, ``ctx.dependency(Pool)``; a tuple is several things.

    Flows that share the records of users or orgs have to declare a field that both of them have in the same way; what
    only one of them declares is told in the log, and refused if it is required and ``strict`` is set.

    Raises:
        CrossFlowSchemaConflictError: two flows share a user or org record and declare it differently.
        FlowDefinitionError: two flows have the same kind.
        TypeError: ``flows`` is not a list of flows, a store is not a store, ``observer`` not an
            observer, or ``lifespan`` no function that makes an async context manager.
        ValueError: a profile or slot is missing or unknown.
    """
    if isinstance(flows, HostedFlow) or not isinstance(flows, Iterable):
        raise TypeError(
            f"flows must be a list of flows, flows=[...], not a value of type {type(flows).__name__}"
        )
    catalogue = Catalogue()
    for flow in flows:
        if not isinstance(flow, HostedFlow):
            raise TypeError(
                f"flows must hold flows made by define_flow(...), not a value of type {type(flow).__name__}"
            )
        catalogue.register(flow, strict=strict)
    if not isinstance(observer, Observer):
        raise TypeError(f"observer must be an Observer, not a value of type {type(observer).__name__}")
    _check_lifespan(lifespan)
    kept = {DEFAULT: MemoryStore()} if stores is None else primaries(stores)
    return FlowState(catalogue, kept, observer, lifespan, blob_slots(stores or {}))


def _check_lifespan(lifespan: object) -> None:
    if inspect.isasyncgenfunction(lifespan) or inspect.iscoroutinefunction(lifespan):
        raise TypeError("lifespan must make an async context manager: decorate it with @asynccontextmanager")
    if not callable(lifespan):
        problem = "a function under @asynccontextmanager"
        raise TypeError(f"lifespan must be {problem}, not a value of type {type(lifespan).__name__}")
