"""Fields that a program makes anew for each record, stored with the commit that makes a record or loads it without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowstate_server.engine.rehearsals import Rehearsals, Rehearsed, checked, may_take_long
from flowstate_server.engine.state_change import ChangeRules, checked_text
from flowstate_server.engine.upgrades import Upgraded
from flowstate_server.errors import ScopeUnavailableError, StateValidationError
from flowstate_server.model.json_values import JsonObject, same_json
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.program import HostedFlow
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import Operation, patch_state
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    Change,
    Changed,
    ChangeState,
    CommitResult,
    NoChange,
    Write,
)
from flowstate_server.stores.store import Store


class NotDrawn(Exception):
    """The newest record lacks fields that nothing was drawn for yet. Draw them and commit again."""

    def __init__(self, kind: ScopeKind, names: tuple[str, ...], record: StateRecord) -> None:
        self.kind = kind
        self.names = names
        self.record = record


class NotUpgraded(Exception):
    """The newest record has to be upgraded first, for it to be seen what it lacks."""

    def __init__(self, kind: ScopeKind, record: StateRecord) -> None:
        self.kind = kind
        self.record = record


class DrawnFields:
    """What one call draws for the records that it makes or loads.

    Whether a field is absent is decided against the newest record, inside the transaction; code of authors runs outside
    of it, and only for fields that are absent. So a commit that meets some is refused once, and made again with them.
    """

    def __init__(
        self, hosted: HostedFlow, catalogue: Catalogue, max_bytes: int, rehearsals: Rehearsals
    ) -> None:
        self._hosted = hosted
        self._catalogue = catalogue
        self._max_bytes = max_bytes
        self._rehearsals = rehearsals
        self._drawn: dict[ScopeKind, JsonObject] = {}
        self._rehearsed: dict[ScopeKind, Rehearsed | None] = {}
        self._today: dict[ScopeKind, Upgraded] = {}
        self._unreadable: set[ScopeKind] = set()
        self._left: set[ScopeKind] = set()

    def writes(
        self, scopes: Mapping[ScopeKind, ScopeKey], request: RequestKey | None = None
    ) -> list[ChangeState]:
        """The writes that fill the absent fields of ``scopes``: a version of the record, and no event."""
        return [
            ChangeState(key, self._filling(kind), request=request)
            for kind, key in scopes.items()
            if self._hosted.described.schemas[kind].drawn or self._hosted.described.schemas[kind].partly_drawn
        ]

    async def commit(self, store: Store, batch: Iterable[Write]) -> CommitResult:
        """Commit a batch that has these writes.

        Raises:
            ServiceError: as :meth:`Store.commit`.
            Exception: a factory failed; nothing was stored. It names the field.
        """
        batch = tuple(batch)
        while True:  # each time with more fields drawn, of which there is an end
            try:
                return await store.commit(batch)
            except NotUpgraded as old:
                await self._upgrade(old.kind, old.record)
            except NotDrawn as absent:
                await self._draw(absent.kind, absent.names, absent.record)

    async def _draw(self, kind: ScopeKind, names: tuple[str, ...], record: StateRecord) -> None:
        drawn = self._drawn.setdefault(kind, {})
        drawn.update(await self._hosted.program.draw(kind, names))
        schema = self._hosted.described.schemas[kind]
        absent = [name for name in drawn if name not in record.state]
        self._rehearsed[kind] = None
        for incomplete in (schema.incomplete(record.state), ()):
            fills = _fills(record, drawn, absent, incomplete)
            if not may_take_long(fills, schema):
                return
            try:
                self._rehearsed[kind] = await self._rehearsals.of(fills, schema, record)
                return
            except StateValidationError:  # code that is too slow
                if not incomplete:
                    raise
                self._left.add(kind)

    async def _upgrade(self, kind: ScopeKind, record: StateRecord) -> None:
        try:
            self._today[kind] = await self._rules(kind).upgrades.ahead(record)
        except ScopeUnavailableError:
            self._unreadable.add(kind)

    def _rules(self, kind: ScopeKind) -> ChangeRules:
        return ChangeRules.of(self._hosted.described, kind, self._max_bytes, self._catalogue)

    def _filling(self, kind: ScopeKind) -> Change:
        rules = self._rules(kind)
        drawn = self._drawn.setdefault(kind, {})

        def change(record: StateRecord) -> Changed | NoChange:
            # A record that can't be upgraded or written keeps no run from what it can do without.
            if kind in self._unreadable or not rules.upgrades.writable(record):
                return NO_CHANGE
            today = Upgraded(record, record)
            if rules.upgrades.needed(record):
                today = self._today.get(kind, today)
                if kind not in self._today or not today.is_of(record):
                    raise NotUpgraded(kind, record)
            absent = [name for name in rules.schema.drawn if name not in today.record.state]
            # An upgrade is stored with an event, which this write has not: it stays for the next one.
            left = kind in self._left or today.record is not record
            incomplete = () if left else rules.schema.incomplete(record.state)
            if not absent and not incomplete:
                return NO_CHANGE
            missing = tuple(name for name in absent if name not in drawn)
            if missing or (incomplete and kind not in self._rehearsed):
                raise NotDrawn(kind, missing, record)
            state = self._filled(record, rules, absent, incomplete)
            if state is None:
                return NO_CHANGE
            generations = None if record.exists else rules.upgrades.written(record, rules.writer)
            return Changed(state, checked_text(record, state, rules), (), generations)

        return change

    def _filled(
        self, record: StateRecord, rules: ChangeRules, absent: Sequence[str], incomplete: Sequence[str]
    ) -> JsonObject | None:
        """The state with what was drawn, ``None`` if that is what is stored."""
        kind = record.key.kind
        raw = apply(record.state, _fills(record, self._drawn[kind], absent, incomplete), rules.schema)
        rehearsed = self._rehearsed.get(kind)
        try:
            applied = (rehearsed and rehearsed.of(raw)) or checked(raw, rules.schema)
        except StateValidationError:
            if not incomplete:
                raise
            # What is stored does not fit any more: that is for who reads or writes it.
            return self._filled(record, rules, absent, ()) if absent else None
        return None if same_json(record.state, applied.state) else applied.state


def _fills(
    record: StateRecord, drawn: JsonObject, absent: Iterable[str], incomplete: Iterable[str]
) -> tuple[Operation, ...]:
    """Writes what was drawn for absent fields, and anew what lacks members, which validation makes."""
    return patch_state(
        {name: drawn[name] for name in absent} | {name: record.state[name] for name in incomplete}
    )
