"""The limits of a session's metadata, the same for callers and blocks."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import Json, encode_json

# Chosen for notes about a session, not for its state: they travel with every list of sessions, and some forty of the
# largest fill a message of 4 MiB.
MAX_TITLE_BYTES = 1024
MAX_DESCRIPTION_BYTES = 16 * 1024
MAX_METADATA_BYTES = 64 * 1024
MAX_TAGS = 64
# Each is a row of an index, as each tag is.
MAX_METADATA_KEYS = 256


def check_session_fields(fields: Mapping[str, Json]) -> None:
    """Refuse metadata of the wrong type or beyond its limits (``ValidationFailedError`` with the field's path)."""
    for name, limit in (("title", MAX_TITLE_BYTES), ("description", MAX_DESCRIPTION_BYTES)):
        text = fields.get(name, "")
        if not isinstance(text, str):
            raise _violation(name, "string_type", "must be a string")
        if len(text.encode()) > limit:
            raise _violation(name, "too_long", f"must be at most {limit} bytes")
    tags = fields.get("tags", [])
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise _violation("tags", "too_many", f"must be a list of at most {MAX_TAGS} tags")
    for position, tag in enumerate(tags):
        if not isinstance(tag, str):
            raise _violation(f"tags[{position}]", "string_type", "must be a string")
        check_id(f"session.tags[{position}]", tag)
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict):
        raise _violation("metadata", "object_type", "must be a JSON object")
    if len(metadata) > MAX_METADATA_KEYS:
        raise _violation("metadata", "too_many", f"must have at most {MAX_METADATA_KEYS} keys")
    if len(encode_json(metadata)) > MAX_METADATA_BYTES:
        raise _violation("metadata", "too_long", f"must be at most {MAX_METADATA_BYTES} bytes of JSON")


def _violation(name: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(f"session.{name}", rule, message),))
