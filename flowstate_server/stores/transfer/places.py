"""Keys as JSON, so that a copy can remember where it is."""

from __future__ import annotations

from typing import Any, get_origin, get_type_hints

from flowstate_server.model.json_values import Json


def encode_place(key: Any) -> Json:
    return [encode_place(part) for part in key] if isinstance(key, tuple) else key


def decode_place(kind: Any, place: Any) -> Any:
    """The key of class ``kind`` that :func:`encode_place` was given."""
    if hasattr(kind, "_fields"):
        parts = zip(get_type_hints(kind).values(), place, strict=True)
        return kind(*[decode_place(part, value) for part, value in parts])
    return (get_origin(kind) or kind)(place)
