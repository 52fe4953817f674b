"""The ids that a message names, for the log: unchecked, as they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.message import Message

_NAMES = ("request_id", "session_id", "user_id", "org_id", "flow_kind", "action")
# Where a message has them if not at its top: what to run, what to create, whose state.
_PLACES = ("spec", "session", "scope", "scopes", "mutations")
# An id that is longer is refused.
_LONGEST = 128


def named_ids(message: Message) -> Mapping[str, str]:
    """The first of each name: a commit to several sessions gives one of them."""
    found: dict[str, str] = {}
    for part in _parts(message):
        known = part.DESCRIPTOR.fields_by_name
        for name in _NAMES:
            if name not in found and name in known:
                value = getattr(part, name)
                if value and isinstance(value, str):
                    found[name] = value[:_LONGEST]
    return found


def _parts(message: Message) -> Iterator[Message]:
    yield message
    for name in _PLACES:
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None or field.message_type is None:
            continue
        inner = getattr(message, name)
        for part in [inner] if isinstance(inner, Message) else inner[:1]:
            yield from _parts(part)
