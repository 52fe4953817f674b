"""A PostgreSQL database, shared by any number of processes. ``README.md`` beside this file has the caveats."""

from flowstate_server.stores.postgres.store import PostgresStore, postgres_stores

__all__ = ["PostgresStore", "postgres_stores"]
