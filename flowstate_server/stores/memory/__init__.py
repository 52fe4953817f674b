"""The store that keeps everything in this process and nothing beyond it."""

from flowstate_server.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
