"""Stored records as the schemas of today read them."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.schemas.reading import AS_STORED, Reading
from flowstate_server.schemas.scope_schema import ScopeSchema

# Records of which it is remembered how they read, a few hundred bytes each. Chosen.
JUDGED = 4096


@frozen
class _Judged:
    """``reading`` without values, which may be large: the names of those that differ, to read them anew."""

    differing: frozenset[str]
    reading: Reading
    error_id: str


class Readings:
    """Reads again what differs from what is stored. What is read again and again, and does not, is judged once.

    Keep them in :meth:`Catalogue.remembered`: they hold on to the schemas of flows.
    """

    def __init__(self) -> None:
        self._judged: dict[Hashable, _Judged] = {}

    def of(
        self,
        schema: ScopeSchema,
        record: StateRecord,
        state: JsonObject,
        names: tuple[str, ...],
        tell: Callable[[frozenset[str]], str] | None = None,
    ) -> tuple[Reading, str]:
        """How ``state``, that of ``record`` or upgraded from it, reads, and the error id of what does not.

        ``tell`` is told once of what does not fit, and gives the id.
        """
        if not state or not names:
            return AS_STORED, ""
        key = (schema, names, record.key, record.incarnation, record.version, record.update_time)
        judged = self._judged.get(key)
        if judged is None:
            reading = schema.read_again(state, names)
            unreadable = reading.unreadable
            if len(self._judged) >= JUDGED:
                self._judged.clear()
            judged = self._judged[key] = _Judged(
                frozenset(reading.values),
                Reading({}, unreadable) if unreadable else AS_STORED,
                tell(unreadable) if unreadable and tell is not None else "",
            )
        elif judged.differing:
            reading = schema.read_again(state, judged.differing)
            reading = Reading(reading.values, reading.unreadable | judged.reading.unreadable)
        else:
            reading = judged.reading
        return reading, judged.error_id

    def shown(self, schema: ScopeSchema, record: StateRecord) -> JsonObject:
        """The whole state as it reads, with the defaults of absent fields; what does not fit as it is stored."""
        state = schema.with_defaults(record.state)
        reading, _ = self.of(schema, record, record.state, schema.changeable)
        return {**state, **reading.values} if reading.values else state
