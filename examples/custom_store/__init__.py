"""A store of one's own: everything in one pickle file. ``README.md`` beside this file walks through it."""

from examples.custom_store.store import SnapshotStore

__all__ = ["SnapshotStore"]
