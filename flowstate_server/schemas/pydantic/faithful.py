"""Which types are certain to be read as what was written, so that no value of them needs proof."""

from __future__ import annotations

from typing import Any

from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, ModelParts, is_pydantics, walk
from flowstate_server.schemas.pydantic.unions import needs_proof


def is_faithful(schema: CoreSchema, parts: ModelParts) -> bool:
    """Whether what is dumped of a value is certain to be read as that value: no function of an author's takes part in
    dumping it, nor a setting that changes how something is written, nor a union whose choices JSON may mix up."""
    if any(key.startswith(("ser_json", "val_json")) for key in parts.config):
        return False
    for part in walk(schema, parts.definitions):
        made_by = part.get("serialization") or {}
        if part["type"] == "json" or (part["type"] == "union" and needs_proof(part, parts.definitions)):
            return False
        if "include" in made_by or "exclude" in made_by:
            return False
        if made_by.get("type", "").startswith("function-") and not _knows(made_by["function"]):
            return False
        if any(key.startswith(("ser_json", "val_json")) for key in part.get("config") or {}):
            return False
    return True


def _knows(function: Any) -> bool:
    """Whether it writes all that there may be by its type; that for ``Sequence`` writes subclasses of lists by none."""
    return is_pydantics(function) and getattr(function, "__name__", "") != "serialize_sequence_via_list"
