"""Contents that a synchronous client uploads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from typing import cast

from flowstate_client import uploads

ContentSource = bytes | str | os.PathLike[str] | Iterable[bytes]
"""What may be uploaded: bytes, the path of a file, or bytes that come in pieces of any length, such as an open file."""


def asynchronous(source: ContentSource) -> uploads.ContentSource:
    """The same for the asynchronous client. An iterator is read in threads, since it may block."""
    if isinstance(source, bytes | str | os.PathLike):
        return source
    if isinstance(source, bytearray | memoryview) or not isinstance(source, Iterable):
        return cast("uploads.ContentSource", source)
    return _pieces(source)


async def _pieces(source: Iterable[bytes]) -> AsyncIterator[bytes]:
    pieces = iter(source)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
