"""Keys as bytes, for stores that sort by bytes."""

from __future__ import annotations

from typing import Any

_NUMBER_BYTES = 8


def encode_place(*parts: Any) -> bytes:
    """Bytes that sort like the parts: texts, whole numbers from 0 to 2⁶⁴ - 1, tuples of them, and bytes, which are
    taken as they sort already.

    ``encode_place(table.place(key))`` is a key of any table, for a document that of ``encode_key``; what begins with
    the same parts begins with the same bytes. Numbers and texts never share a place, so each can be told from where it
    stands.
    """
    return b"".join([_encoded(part) for part in parts])


def _encoded(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode().replace(b"\x00", b"\x00\xff") + b"\x00"
    if isinstance(part, int):
        return part.to_bytes(_NUMBER_BYTES, "big")
    return part if isinstance(part, bytes) else encode_place(*part)
