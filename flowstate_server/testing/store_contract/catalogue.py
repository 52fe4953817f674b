"""The list of all checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType

from flowstate_server.testing.store_contract import (
    aliasing,
    cancellation,
    copies,
    durability,
    exports,
    finishing,
    groups,
    idempotency,
    identifiers,
    leases,
    listing,
    logs,
    projections,
    races,
    requests,
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
    requests,
    states,
    aliasing,
    races,
    logs,
    finishing,
    turns,
    leases,
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
    exports,
    copies,
)


def all_checks() -> tuple[Check, ...]:
    """Every check, by subject; their names are unique and start with ``check_``."""
    return tuple(check for subject in _SUBJECTS for check in _checks_of(subject))


def _checks_of(subject: ModuleType) -> Iterator[Check]:
    for name, member in vars(subject).items():
        if name.startswith("check_") and member.__module__ == subject.__name__:
            yield member
