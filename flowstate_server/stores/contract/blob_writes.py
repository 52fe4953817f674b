"""Writes of the heads of blobs. ``stores/blobs/README.md`` draws the protocol that they make up.

None of them touches a piece. A head lives as long as its pieces may, so it never expires by itself: a note of the time
at which the sweep is to look at it is written by the same commits.
"""

from __future__ import annotations

from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.stores.contract.writes import Write

HOUR: Micros = Micros(3600 * SECOND)


class BlobUnavailable(Exception):
    """There is no such blob, it is doomed, or it is not yet, or no longer, in the state that the write needs."""

    def __init__(self, key: BlobKey) -> None:
        super().__init__(f"the blob {key.id} is not available")
        self.key = key


@frozen
class BeginBlob(Write):
    """Begin an upload, which the sweep dooms after ``lifetime`` unless something refers to it by then.

    An upload that is under way already is no change; ``BlobUnavailable`` for a blob that is past that.
    """

    key: BlobKey
    lifetime: Micros = Micros(24 * HOUR)


@frozen
class CompleteBlob(Write):
    """End an upload whose pieces were found to have this size and checksum; that it is so already is no change.

    ``BlobUnavailable`` if it is absent, doomed, or complete as something else. It is still due when it was: commit
    :class:`RequireBlob` with it, and whatever refers to it.
    """

    key: BlobKey
    size: int
    sha256: str


@frozen
class RequireBlob(Write):
    """Refuse with ``BlobUnavailable`` unless the blob is complete, and keep it from now on.

    Belongs into every batch that refers to the blob: no sweep can then miss that commit, and no commit the sweep.
    """

    key: BlobKey


@frozen
class ReleaseBlob(Write):
    """Nothing refers to the blob any more: the sweep dooms it after ``grace``, so that readers end what they read.

    No change to one that is absent or doomed, or due as soon.
    """

    key: BlobKey
    grace: Micros = HOUR


@frozen
class DoomBlob(Write):
    """Make the blob unavailable to whatever comes; its pieces may be deleted after ``grace``.

    No change to one that is absent or doomed, or not due at the time ``due``, if that is given.
    """

    key: BlobKey
    due: Micros | None = None
    grace: Micros = HOUR


@frozen
class ForgetBlob(Write):
    """Delete the head of a doomed blob whose pieces are deleted; no change to any other."""

    key: BlobKey
