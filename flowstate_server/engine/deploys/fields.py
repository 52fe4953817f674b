"""Which fields stored records have, against those that the flows to be deployed declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from flowstate_server.engine.foreign_flows import Foreign, Note
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import declared_by
from flowstate_server.programs.description import FlowDescription


class _Field(NamedTuple):
    """``flow`` is empty where the record is shared."""

    scope: str
    flow: str
    name: str


class StoredFields:
    """What records have that nobody declares, and lack that a flow does not give a default for.

    Neither keeps them from being read and written: a field without default is absent until it is written. Where no
    record at all has it, or where one has what nobody reads any more, a deploy has probably changed a name or forgotten
    a default.
    """

    def __init__(self, recorded: Iterable[Foreign], catalogue: Catalogue) -> None:
        """``recorded`` are flows that other servers serve on the store, whose fields in shared records are theirs."""
        self._foreign = _fields_of_others(recorded, catalogue)
        self._required: dict[tuple[str, ScopeKind], frozenset[str]] = {}
        self._undeclared: Counter[_Field] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._had: set[_Field] = set()
        self._lacked: set[_Field] = set()

    def see(self, record: StateRecord, sharing: Sequence[FlowDescription], *, alone: str) -> None:
        """A record as it would be read by the flows ``sharing``, of which one may have it ``alone``."""
        scope, state = record.key.kind, record.state
        for flow in sharing:
            self._seen[scope.value, flow.kind] += 1
            for name in self._required_of(flow, scope):
                kept = self._had if name in state else self._lacked
                kept.add(_Field(scope.value, flow.kind, name))
        if not alone and any(flow.generation(scope).upgrade for flow in sharing):
            return  # what an upgrade has moved stays where another flow may have written it
        foreign = frozenset() if alone else self._foreign.get(scope, frozenset())
        for name in state:
            if name not in foreign and not any(flow.schemas[scope].declares(name) for flow in sharing):
                self._undeclared[_Field(scope.value, alone, name)] += 1

    def notes(self) -> list[Note]:
        return [
            *(_undeclared(field, count) for field, count in sorted(self._undeclared.items())),
            *(
                _absent(field, self._seen[field.scope, field.flow])
                for field in sorted(self._lacked - self._had)
            ),
        ]

    def _required_of(self, flow: FlowDescription, scope: ScopeKind) -> frozenset[str]:
        found = self._required.get((flow.kind, scope))
        if found is None:
            members = declared_by(flow.schemas[scope]).members
            found = frozenset(
                name for name, member in members.items() if "" not in member.defaults and not member.drawn
            )
            self._required[flow.kind, scope] = found
        return found


def _fields_of_others(recorded: Iterable[Foreign], catalogue: Catalogue) -> Mapping[ScopeKind, Set[str]]:
    found: dict[ScopeKind, set[str]] = {}
    for foreign in recorded:
        if foreign.declaration.kind not in catalogue:  # else it is another deploy of the same flow
            for scope, declared in foreign.declaration.scopes.items():
                found.setdefault(scope, set()).update(declared.fields)
    return found


def _undeclared(field: _Field, count: int) -> Note:
    records = "1 record" if count == 1 else f"{count:,} records"
    whose = f' of flow "{field.flow}"' if field.flow else ""
    return Note(
        f'{field.scope} state{whose}: "{field.name}" is stored in {records} and declared by no flow; '
        f"renamed? see upgrade= of {field.scope.capitalize()}(...)",
        loud=True,
    )


def _absent(field: _Field, count: int) -> Note:
    records = "the 1 record" if count == 1 else f"none of the {count:,} records"
    has = "lacks it" if count == 1 else "has it"
    return Note(
        f'flow "{field.flow}", {field.scope} state: "{field.name}" has no default and {records} looked at {has}; '
        "reading it fails until it is written: give it a default, or an upgrade that makes it",
        loud=True,
    )
