"""A large state as it was, and the records of its maps that have changed since: a commit that changes one copies none
of the others."""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import chain, islice
from typing import Final, cast

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, copy_json

MOST_RECORDS = 256
"""Changed records, then they are put into a new copy of the state: as many as patches, see ``state_parts``."""


class _Removed:
    """Stands for a record that is there no more."""


_REMOVED: Final = _Removed()


@frozen
class LayeredState:
    """``whole`` with other ``records``, by the names of their maps and their keys. Don't modify either."""

    whole: JsonObject
    records: dict[tuple[str, str], Json | _Removed]

    def some(self, keys: Mapping[str, Set[str]]) -> JsonObject | None:
        """The maps that ``keys`` name alone, with these records and, if there is one, another one each, by which it
        shows whether there are others; ``None`` if one of them is no map."""
        maps = {name: self.whole.get(name) for name in keys}
        if not all(type(records) is dict for records in maps.values()):
            return None
        return {name: self._some(name, cast(JsonObject, maps[name]), some) for name, some in keys.items()}

    def _some(self, name: str, stored: JsonObject, keys: Set[str]) -> JsonObject:
        found: JsonObject = {}
        added = (key for of_map, key in self.records if of_map == name)  # perhaps all that is left
        others = (
            key
            for key in chain(stored, added)
            if key not in keys and self.records.get((name, key)) is not _REMOVED
        )
        for key in chain(islice(others, 1), keys):
            record = self.records.get((name, key), stored.get(key, _REMOVED))
            if not isinstance(record, _Removed):
                found[key] = record
        return found

    def changed(self, keys: Mapping[str, Set[str]], after: JsonObject) -> LayeredState:
        """With copies of the records that ``keys`` name as they are in ``after``."""
        whole, records = self.whole, dict(self.records)
        if any(key in cast(JsonObject, after[name]) for name, key in self._removed(keys)):
            whole, records = self.state, {}  # what comes again stands behind the others
        for name, some in keys.items():
            made = copy_json(
                {key: value for key, value in cast(JsonObject, after[name]).items() if key in some}
            )
            records |= {(name, key): _REMOVED for key in some if key not in made}
            records |= {(name, key): value for key, value in made.items()}
        changed = LayeredState(whole, records)
        return LayeredState(changed.state, {}) if len(records) > MOST_RECORDS else changed

    def _removed(self, keys: Mapping[str, Set[str]]) -> list[tuple[str, str]]:
        """Those of ``keys`` that were there once."""
        named = [(name, key) for name, some in keys.items() for key in some]
        return [one for one in named if self.records.get(one) is _REMOVED]

    @property
    def state(self) -> JsonObject:
        """The whole of it as it is now."""
        if not self.records:
            return self.whole
        names = {name for name, _ in self.records}
        state = {**self.whole, **{name: {**cast(JsonObject, self.whole[name])} for name in names}}
        for (name, key), record in self.records.items():
            of_map = cast(JsonObject, state[name])
            if isinstance(record, _Removed):
                of_map.pop(key, None)
            else:
                of_map[key] = record
        return state
