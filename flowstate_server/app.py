"""The application: flows, and the store they live on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from flowstate_server.engine.engine import Engine
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows.flow import Flow
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.settings import Settings
from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.memory.store import MemoryStore

DEFAULT_PROFILE = "default"
PRIMARY = "primary"

StoreProfile = Store | Mapping[str, Store]
"""A store, or the stores of a profile by slot. The slot ``primary`` is required; a bare store is taken as it."""


class FlowState:
    """Flows that are served together, and their store. Make it with :func:`create_flowstate`."""

    def __init__(self, registry: FlowRegistry, store: Store) -> None:
        self.registry = registry
        self.store = store

    def engine(self, store: Store | None = None, settings: EngineSettings | None = None) -> Engine:
        """An engine, not yet opened, that runs these flows on ``store`` (default: the application's own)."""
        return Engine(store or self.store, self.registry, settings)


def engine_settings(settings: Settings) -> EngineSettings:
    """The part of a server's settings that the engine goes by: those of the same name."""
    names = {field.name for field in fields(EngineSettings)} & Settings.model_fields.keys()
    return EngineSettings(**{name: getattr(settings, name) for name in names})


def create_flowstate(*, flows: Iterable[Flow], stores: Mapping[str, StoreProfile] | None = None) -> FlowState:
    """An application of ``flows``.

    ``stores`` maps profile names to stores; this release serves the profile ``default``. Without it state lives in
    memory and ends with the process.

    Raises:
        CrossFlowSchemaConflictError: two flows share a user or org record and declare it differently.
        FlowDefinitionError: two flows have the same kind.
        TypeError: ``flows`` is not a list of flows, or a store is not a store.
        ValueError: a profile or slot is missing or unknown.
    """
    if isinstance(flows, Flow) or not isinstance(flows, Iterable):
        raise TypeError(
            f"flows must be a list of flows, flows=[...], not a value of type {type(flows).__name__}"
        )
    registry = FlowRegistry()
    for flow in flows:
        if not isinstance(flow, Flow):
            raise TypeError(
                f"flows must hold flows made by define_flow(...), not a value of type {type(flow).__name__}"
            )
        registry.register(flow)
    return FlowState(registry, _primary(stores) if stores is not None else MemoryStore())


def store_from_url(url: str) -> Store:
    """The store that a URL names, not yet opened.

    ``memory`` keeps state in this process; ``sqlite:///chat.db`` is a file beside the working directory,
    ``sqlite:////var/lib/chat.db`` one at an absolute path.

    Raises:
        ValueError: the URL names no store that this release has.
    """
    if url in ("memory", "memory://"):
        return MemoryStore()
    scheme, separator, rest = url.partition(":///")
    if scheme == "sqlite" and separator and rest:
        from flowstate_server.stores.sqlite.store import SqliteStore

        return SqliteStore(rest)
    raise ValueError(f"no store for {url!r}: use memory or sqlite:///PATH")


def _primary(stores: Mapping[str, StoreProfile]) -> Store:
    if not isinstance(stores, Mapping):
        raise TypeError(f"stores must map profiles to stores, {_for_example(stores)}")
    unknown = stores.keys() - {DEFAULT_PROFILE}
    if unknown or DEFAULT_PROFILE not in stores:
        raise ValueError(
            f"stores must hold the profile {DEFAULT_PROFILE!r} and no other, not {sorted(stores)}"
        )
    profile = stores[DEFAULT_PROFILE]
    if isinstance(profile, Store):
        return profile
    if not isinstance(profile, Mapping):
        raise TypeError(f"a store profile is a store or maps slots to stores, {_for_example(profile)}")
    if set(profile) != {PRIMARY}:
        raise ValueError(f"a store profile has the slot {PRIMARY!r} and no other, not {sorted(profile)}")
    store = profile[PRIMARY]
    if not isinstance(store, Store):
        raise TypeError(f"the slot {PRIMARY!r} must be a store, {_for_example(store)}")
    return store


def _for_example(value: object) -> str:
    kind = type(value).__name__
    return f"not a value of type {kind}; for a URL use stores={{{DEFAULT_PROFILE!r}: store_from_url(url)}}"
