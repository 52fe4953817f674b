"""Large content over a store and its slot for blobs: uploads in pieces, reads of a range, the sweep."""

from flowstate_server.stores.blobs.folder import BlobFolder
from flowstate_server.stores.blobs.service import Blobs, BlobTimes

__all__ = ["BlobFolder", "BlobTimes", "Blobs"]
