"""The list of all checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType

from flowstate_server.testing.store_contract import (
    activity,
    aliasing,
    blob_heads,
    blobs,
    cancellation,
    copies,
    damage,
    deletions,
    documents,
    durability,
    exports,
    finishing,
    fleets,
    gate_endings,
    gates,
    groups,
    idempotency,
    identifiers,
    incarnations,
    item_appends,
    item_lists,
    item_removals,
    journals,
    labels,
    leases,
    listing,
    logs,
    open_requests,
    pieces,
    projections,
    races,
    ranges,
    removal_crashes,
    renewal,
    request_lists,
    requests,
    resolve_keys,
    resource_limits,
    resources,
    retention,
    session_logs,
    sessions,
    states,
    sweeping,
    tenancy,
    tombstones,
    turns,
    values,
    watching,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

Check = Callable[[StoreHarness], Awaitable[None]]

_SUBJECTS: tuple[ModuleType, ...] = (
    sessions,
    incarnations,
    deletions,
    requests,
    states,
    tombstones,
    aliasing,
    races,
    documents,
    ranges,
    journals,
    logs,
    session_logs,
    activity,
    open_requests,
    gates,
    gate_endings,
    finishing,
    turns,
    retention,
    item_appends,
    item_removals,
    leases,
    renewal,
    fleets,
    idempotency,
    watching,
    projections,
    listing,
    item_lists,
    request_lists,
    labels,
    resolve_keys,
    tenancy,
    identifiers,
    values,
    groups,
    cancellation,
    sweeping,
    durability,
    removal_crashes,
    damage,
    exports,
    copies,
    pieces,
    blob_heads,
    blobs,
    resources,
    resource_limits,
)


def all_checks() -> tuple[Check, ...]:
    """Every check, by subject; their names are unique and start with ``check_``."""
    return tuple(check for subject in _SUBJECTS for check in _checks_of(subject))


def _checks_of(subject: ModuleType) -> Iterator[Check]:
    for name, member in vars(subject).items():
        if name.startswith("check_") and member.__module__ == subject.__name__:
            yield member
