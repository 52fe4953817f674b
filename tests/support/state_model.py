"""What a server must answer, as a plain Python model: dicts, one command after another, nothing concurrent."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Outcome = tuple[Any, ...]
"""``("done", replayed, ((version, changed), ...))``, ``("refused", reason)``, ``("read", ((version, fields), ...))``
or, of an action, ``("returned", version)`` or ``("failed", reason)``."""

DEFAULTS: Mapping[str, Any] = {"count": 0, "total": 0.0, "names": [], "by_key": {}}
"""The fields f0, f1, ... have no default to start from."""

DECLARED = DEFAULTS.keys() | {"f0", "f1"}
"""A whole document that is set replaces these; other fields would be those of other flows."""


CURRENT = -1
"""In a drawn program: the version that the record has when the burst begins; see :meth:`Model.resolved`."""


class Refused(Exception):
    """With the reason."""


@dataclass(frozen=True)
class Op:
    """``verb`` is the field of ``StateOp``; ``field`` is empty for the whole document."""

    verb: str
    field: str
    value: Any = None
    key: str = ""


@dataclass(frozen=True)
class Mutation:
    scope: str
    ops: tuple[Op, ...]
    version: int | None = None
    exists: bool | None = None


@dataclass(frozen=True)
class Commit:
    mutations: tuple[Mutation, ...]
    key: str = ""


@dataclass(frozen=True)
class Read:
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Bump:
    """The action: adds to the count of a session, or of its user."""

    session: str
    by: int
    of_user: bool = False
    request_id: str = ""


Command = Commit | Read | Bump


@dataclass
class Record:
    version: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Model:
    records: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, tuple[Commit, Outcome]] = field(default_factory=dict)
    requests: dict[str, tuple[Bump, Outcome]] = field(default_factory=dict)

    def copy(self) -> Model:
        return Model(copy.deepcopy(self.records), dict(self.keys), dict(self.requests))

    def resolved(self, command: Command) -> Command:
        """``command`` with real versions."""
        if not isinstance(command, Commit):
            return command
        mutations = [
            replace(mutation, version=self.records.get(mutation.scope, Record()).version)
            if mutation.version == CURRENT
            else mutation
            for mutation in command.mutations
        ]
        return replace(command, mutations=tuple(mutations))

    def perform(self, command: Command) -> Outcome:
        """What ``command`` is answered; a refused one changes nothing."""
        try:
            match command:
                case Read():
                    return "read", tuple(self._shown(scope) for scope in command.scopes)
                case Commit():
                    return self._commit(command)
                case Bump():
                    return self._bump(command)
        except Refused as refusal:
            return "refused", *refusal.args

    def _shown(self, scope: str) -> tuple[int, dict[str, Any]]:
        record = self.records.get(scope, Record())
        return record.version, {
            name: value
            for name, value in record.fields.items()
            if value is not None and value != DEFAULTS.get(name, ...)
        }

    def _commit(self, commit: Commit) -> Outcome:
        if commit.key in self.keys:
            first, (_, _, written) = self.keys[commit.key]
            if repr(first) != repr(commit):  # as sent: the order of fields counts
                raise Refused("IDEMPOTENCY_KEY_REUSED")
            return "done", True, written
        after = {mutation.scope: self._mutated(mutation) for mutation in commit.mutations}
        written = tuple(
            (record.version, record.version > self.records.get(scope, Record()).version)
            for scope, record in after.items()
        )
        self.records.update({scope: record for scope, record in after.items() if record.version})
        outcome: Outcome = ("done", False, written)
        if commit.key:
            self.keys[commit.key] = (commit, outcome)
        return outcome

    def _bump(self, bump: Bump) -> Outcome:
        if bump.request_id in self.requests:
            first, outcome = self.requests[bump.request_id]
            if repr(first) != repr(bump):
                raise Refused("REQUEST_ALREADY_EXISTS")
            return outcome
        scope = "user" if bump.of_user else bump.session
        try:
            record = self._mutated(Mutation(scope, (Op("increment", "count", bump.by),)))
        except Refused:  # the block's exception, of which clients see no more
            outcome = ("failed", "INTERNAL")
        else:
            self.records[scope] = record
            outcome = ("returned", record.version)
        if bump.request_id:
            self.requests[bump.request_id] = (bump, outcome)
        return outcome

    def _mutated(self, mutation: Mutation) -> Record:
        record = self.records.get(mutation.scope, Record())
        if mutation.version not in (None, record.version):
            raise Refused("VERSION_MISMATCH")
        if mutation.exists not in (None, record.version > 0):
            raise Refused("VERSION_MISMATCH")
        fields = copy.deepcopy(record.fields)
        touched: set[str] = set()
        for op in mutation.ops:
            touched |= _apply(op, fields)
        for name in touched & fields.keys():
            fields[name] = _checked(name, fields[name])
        if same(fields, record.fields):
            return record
        return Record(record.version + 1, fields)


def _apply(op: Op, fields: dict[str, Any]) -> set[str]:
    """Do it to ``fields``; the names of those that it wrote."""
    present = fields.get(op.field, copy.deepcopy(DEFAULTS.get(op.field, ...)))
    if present is None:  # a stored null counts as nothing
        present = ...
    match op.verb:
        case "set" if not op.field:
            for name in fields.keys() & DECLARED:
                del fields[name]
            fields.update(op.value)
            return set(op.value)
        case "set":
            fields[op.field] = op.value
        case "merge":
            fields.update(op.value)
            return set(op.value)
        case "increment":
            fields[op.field] = _sum(0 if present is ... else present, op.value)
        case "append":
            fields[op.field] = [*_of(list, [] if present is ... else present), *op.value]
        case "put_record":
            fields[op.field] = {**_of(dict, {} if present is ... else present), op.key: op.value}
        case "delete_record":
            records = _of(dict, {} if present is ... else present)
            if op.key in records:
                fields[op.field] = {key: value for key, value in records.items() if key != op.key}
        case "remove":
            fields.pop(op.field, None)
    return {op.field}


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Refused("STATE_TYPE_CONFLICT")
    return value


def _sum(present: Any, by: float) -> float:
    if type(present) not in (int, float):
        raise Refused("STATE_TYPE_CONFLICT")
    total: float = present + by
    if type(total) is int and not -(2**63) <= total < 2**63:
        raise Refused("STATE_TYPE_CONFLICT")
    return total


def _checked(name: str, value: Any) -> Any:
    """``value`` as it is stored, if the schema allows it."""
    match name, value:
        case "count", int() if value is not True and value is not False:
            return value
        case "total", int() | float() if value is not True and value is not False:
            return float(value)
        case "names", list() if all(type(item) is str for item in value):
            return value
        case "by_key", dict() if all(type(item) is int for item in value.values()):
            return value
        case (("f0" | "f1"), int() | None) if value is not True and value is not False:
            return value
    raise Refused("SCHEMA_VIOLATION")


def same(one: object, other: object) -> bool:
    """Whether two values are equal as JSON is: 1, 1.0 and true differ, the order of fields does not matter."""
    return one == other and _typed(one) == _typed(other)


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_typed(item) for item in value]
    return type(value)


def explain(model: Model, commands: Sequence[Command], outcomes: Sequence[Outcome]) -> Model | None:
    """The model after concurrent ``commands``: performed in some order they have the given outcomes; or ``None``."""
    if not commands:
        return model
    for position, (command, outcome) in enumerate(zip(commands, outcomes, strict=True)):
        tried = model.copy()
        if same(tried.perform(command), outcome):
            rest = [*range(position), *range(position + 1, len(commands))]
            found = explain(tried, [commands[n] for n in rest], [outcomes[n] for n in rest])
            if found is not None:
                return found
    return None
