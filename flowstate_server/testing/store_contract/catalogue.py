"""The list of all checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType

from flowstate_server.testing.store_contract import (
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
    groups,
    idempotency,
    identifiers,
    incarnations,
    journals,
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
    requests,
    retention,
    session_logs,
    sessions,
    states,
    sweeping,
    tenancy,
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
    aliasing,
    races,
    documents,
    ranges,
    journals,
    logs,
    session_logs,
    open_requests,
    finishing,
    turns,
    retention,
    leases,
    renewal,
    idempotency,
    watching,
    projections,
    listing,
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
)


def all_checks() -> tuple[Check, ...]:
    """Every check, by subject; their names are unique and start with ``check_``."""
    return tuple(check for subject in _SUBJECTS for check in _checks_of(subject))


def _checks_of(subject: ModuleType) -> Iterator[Check]:
    for name, member in vars(subject).items():
        if name.startswith("check_") and member.__module__ == subject.__name__:
            yield member
