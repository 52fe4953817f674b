"""The limits of a note, the same for callers and blocks."""

from __future__ import annotations

import re

from flowstate_server.engine.calls.journals import NewNote
from flowstate_server.engine.records.session_fields import MAX_TAGS
from flowstate_server.errors import MessageTooLargeError, ValidationFailedError, Violation
from flowstate_server.model.ids import check_id, new_id
from flowstate_server.model.journal import Note

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def checked_note(new: NewNote, path: str, max_bytes: int) -> Note:
    """``new`` with an id of its own. ``path`` is that of the note, empty where there is but one.

    Raises:
        MessageTooLargeError: text and data together have over ``max_bytes``.
        ValidationFailedError: a field has the wrong type, a character that it may not have, or is beyond its limit.
    """
    place = f"{path}." if path else ""
    for name, text in (("text", new.text), ("source", new.source)):
        if not isinstance(text, str):
            raise _violation(f"{place}{name}", "string_type", "must be a string")
    if _NO_TEXT.search(new.text):
        raise _violation(f"{place}text", "control_character", "must hold no U+0000 and no lone surrogate")
    check_id(f"{place}source", new.source, required=False)
    check_id(f"{place}request_id", new.request_id, required=False)
    if isinstance(new.tags, str):
        raise _violation(f"{place}tags", "list_type", "must be a list of tags")
    if len(new.tags) > MAX_TAGS:
        raise _violation(f"{place}tags", "too_many", f"must be at most {MAX_TAGS} tags")
    for position, tag in enumerate(new.tags):
        if not isinstance(tag, str):
            raise _violation(f"{place}tags[{position}]", "string_type", "must be a string")
        check_id(f"{place}tags[{position}]", tag)
    size = len(new.text.encode()) + len(new.data or b"")
    if size > max_bytes:
        raise MessageTooLargeError(f"The note {path}" if path else "The note", size, max_bytes)
    return Note(
        entry_id=new_id("note_"),
        text=new.text,
        source=new.source,
        tags=tuple(new.tags),
        data=new.data,
        request_id=new.request_id,
    )


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
