"""The store that keeps everything in readable files of one folder, for local development."""

from flowstate_server.stores.filesystem.store import FilesystemStore

__all__ = ["FilesystemStore"]
