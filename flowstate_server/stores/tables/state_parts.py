"""How the records of large states that a group has changed are kept: as patches of a text that is there, or as a new
text."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from flowstate_server.model.parsed_states import in_parts, state_record
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.model.state_parts import LARGE_BYTES, StateParts
from flowstate_server.stores.contract.tables import STATES, Changes, Loaded

MOST_BYTES = 8 * 1024 * 1024
"""Of texts whose states are remembered; parsed they take some ten times as much."""


def kept_parts_of(record: StateRecord, loaded: Loaded) -> StateParts | None:
    """What will be kept of a changed record besides its row; ``None`` if its whole text is in the row."""
    if record.size < LARGE_BYTES:
        return None
    parts = record.parts
    if parts is not None and _goes_on(record, loaded):
        return replace(parts, new=(), stored=None)
    return StateParts(object(), len(record.text), base=record.version)


def _goes_on(record: StateRecord, loaded: Loaded) -> bool:
    """Whether it is made by patches of what is there."""
    parts, before = record.parts, loaded.of(STATES).get(record.key)
    same = parts and before and before.parts and before.parts.line is parts.line
    return bool(parts and same and not parts.folds)


def replaces_parts(record: StateRecord, loaded: Loaded) -> bool:
    """Whether parts that may be there are to go."""
    before = loaded.of(STATES).get(record.key)
    if before is not None and (before.parts is None or not before.parts.base):
        return False
    return not _goes_on(record, loaded)


def new_part(record: StateRecord, loaded: Loaded) -> bytes | None:
    """The text or the patches that are to be kept under the record's version, if it is in parts."""
    if record.size < LARGE_BYTES:
        return None
    if record.parts is not None and _goes_on(record, loaded):
        return b"\n".join(record.parts.new) or None
    return record.text


def without_text(record: StateRecord) -> StateRecord:
    return StateRecord(
        record.key,
        record.version,
        record.incarnation,
        record.exists,
        b"",
        record.create_time,
        record.update_time,
        record.generations,
        record.schema_hash,
    )


def kept_record(record: StateRecord, parts: StateParts) -> StateRecord:
    """``record`` as it is once it is committed: nothing of it is new.

    What came as a whole text is parsed anew when it is needed: others may hold the state that it was made of. What was
    loaded is parsed here.
    """
    if record.parts is None:
        kept = in_parts(without_text(record), replace(parts, stored=(record.text, b"")))
        object.__setattr__(kept, "fitting", record.fitting)
        return kept
    layers = record.layers
    return state_record(
        record.key,
        version=record.version,
        incarnation=record.incarnation,
        state=layers if layers.records else layers.whole,
        text=parts,
        create_time=record.create_time,
        update_time=record.update_time,
        generations=record.generations,
        schema_hash=record.schema_hash,
        fitting=record.fitting,
    )


class LargeStates:
    """The newest known records of large states, parsed, by version: whoever finds a row at the version of one need not
    read its parts. At most :data:`MOST_BYTES`, those used last."""

    def __init__(self) -> None:
        self._records: OrderedDict[ScopeKey, StateRecord] = OrderedDict()
        self._bytes = 0

    def find(self, head: StateRecord) -> StateRecord | None:
        """The record of the row ``head``, which is without its text."""
        known = self._records.get(head.key)
        if known is None or _moment(known) != _moment(head):
            return None
        self._records.move_to_end(head.key)
        return known

    def put(self, record: StateRecord) -> None:
        """Remember a record in parts, which was loaded or committed."""
        self.forget(record.key)
        self._records[record.key] = record
        self._bytes += record.size
        while self._bytes > MOST_BYTES and len(self._records) > 1:
            _, oldest = self._records.popitem(last=False)
            self._bytes -= oldest.size

    def learn(self, changes: Changes, loaded: Loaded) -> set[ScopeKey]:
        """What a group has committed; gives the states that are in parts."""
        for key in changes.removed_of(STATES):
            self.forget(key)
        kept: set[ScopeKey] = set()
        for record in changes.changed_of(STATES):
            parts = kept_parts_of(record, loaded)
            if parts is None:
                self.forget(record.key)
            else:
                self.put(kept_record(record, parts))
                kept.add(record.key)
        return kept

    def loaded(self, record: StateRecord) -> StateRecord:
        """Remember a record that was loaded from its parts, and give it parsed.

        Raises:
            ValueError: it is damaged.
        """
        if record.parts is not None:
            record = kept_record(record, replace(record.parts, stored=None))
            self.put(record)
        return record

    def forget(self, key: ScopeKey) -> None:
        known = self._records.pop(key, None)
        self._bytes -= 0 if known is None else known.size

    def clear(self) -> None:
        self._records.clear()
        self._bytes = 0


def _moment(record: StateRecord) -> tuple[int, str, bool, int]:
    return record.version, record.incarnation, record.exists, record.update_time
