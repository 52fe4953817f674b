"""The numbered SQL files that bring a database up to date, forward only. A released one is never edited."""

from __future__ import annotations

from importlib import resources

from flowstate_server.errors import StoreOpenError

FILLED_BY_CODE = "-- Filled by code."
"""The line of the migration that makes the table of labels, which SQL can't compute."""


def migrations_of(package: str) -> list[str]:
    """The texts of an adapter's migrations, the first first."""
    folder = resources.files(package) / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [file.read_text("utf-8") for file in files]


def migrations_after(found: int, package: str, shown: object) -> list[tuple[int, str]]:
    """Those that the database ``shown`` has not, by number, where ``found`` is the newest that it has.

    Raises:
        StoreOpenError: that one is newer than this version of FlowState.
    """
    migrations = migrations_of(package)
    if found > len(migrations):
        known = f"this version of FlowState knows {len(migrations)}"
        raise StoreOpenError(problem=f"{shown} has schema {found}, {known}; upgrade FlowState")
    return [*enumerate(migrations[found:], start=found + 1)]
