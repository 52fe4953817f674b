"""One SQLite database file, shared by the processes of one machine. ``README.md`` beside this file has the caveats."""

from flowstate_server.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
