"""Histories for tests: made up ones of a right store, and random clients that make real ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flowstate_server.errors import FlowStateError
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.state.operations import (
    Operation,
    inc_state,
    patch_state,
    push_state,
    set_state,
    set_state_record,
    unset_state,
)
from flowstate_server.stores.contract.writes import AtVersion, ChangeState, DeleteState, Exists, Precondition
from flowstate_server.testing.history import (
    Answer,
    Call,
    Delete,
    History,
    Key,
    Outcome,
    Part,
    Read,
    Write,
    change_of,
)
from flowstate_server.testing.history.meaning import applied

STEP = 1_000
"""Made-up nanoseconds between the moments at which calls happen."""


@dataclass
class _Record:
    version: int = 0
    exists: bool = False
    state: JsonObject = field(default_factory=dict)


class MadeUp:
    """A store that does one call at a moment, and notes calls as if they had been under way around it."""

    def __init__(self, seed: int = 0, *, overlap: int = 20) -> None:
        self.chance = random.Random(seed)
        self.history = History()
        self._records: dict[Key, _Record] = {}
        self._now = 0
        self._overlap = overlap * STEP

    def call(self, *parts: Part, unknown: bool = False, happens: bool = True) -> Call:
        """A call of ``parts``; if ``unknown`` it ``happens`` or not, and nobody is told."""
        self._now += STEP
        began = self._now - self.chance.randrange(self._overlap)
        ended = self._now + self.chance.randrange(self._overlap)
        call = Call(f"c{len(self.history.calls)}", parts, began, ended)
        self.history.calls.append(call)
        if happens:
            answers = self._perform(parts)
            if not unknown:
                call.outcome = Outcome.REFUSED if answers is None else Outcome.ANSWERED
                call.answers = answers or ()
        return call

    def quiet(self) -> None:
        """Every call so far has ended before the next begins."""
        self._now += 2 * self._overlap

    def _perform(self, parts: Sequence[Part]) -> tuple[Answer, ...] | None:
        after: dict[Key, _Record] = {}
        answers: list[Answer] = []
        try:
            for part in parts:
                record = after.get(part.key) or self._records.get(part.key) or _Record()
                new = _performed(record, part)
                changed = new is not record
                answers.append(Answer(new.version, changed, new.exists, new.state))
                after[part.key] = new
        except (FlowStateError, LookupError):
            return None
        self._records.update(after)
        return tuple(answers)


def _performed(record: _Record, part: Part) -> _Record:
    if isinstance(part, Read):
        return record
    if not _met(part.precondition, record):
        raise LookupError("precondition")
    if isinstance(part, Delete):
        return _Record(record.version) if record.exists else record
    state = applied(record.state, part.operations, None)
    return record if state is None else _Record(record.version + 1, True, state)


def _met(precondition: Precondition | None, record: _Record) -> bool:
    if isinstance(precondition, AtVersion):
        return precondition.version == record.version
    return precondition is None or precondition.exists is record.exists


def random_operations(chance: random.Random) -> tuple[Operation, ...]:
    """Operations that fit together whatever was done before: each field has one type."""
    number = chance.randrange(1_000_000)
    makers: list[Callable[[], tuple[Operation, ...]]] = [
        lambda: inc_state({"count": chance.randrange(4)}),
        lambda: inc_state({"count": 1}) + patch_state({f"f{chance.randrange(5)}": number}),
        lambda: patch_state({f"f{chance.randrange(5)}": chance.randrange(3)}),
        lambda: push_state("log", [number]),
        lambda: set_state_record("by_key", f"k{chance.randrange(20)}", number),
        lambda: unset_state([f"f{chance.randrange(5)}"]),
    ]
    if chance.random() < 0.02:
        return set_state({"count": 0, "log": []})
    return chance.choice(makers)()


def random_parts(chance: random.Random, keys: Sequence[Key]) -> tuple[Part, ...]:
    """A read or a write of some of ``keys``."""
    some = chance.sample(keys, min(len(keys), chance.choice((1, 1, 1, 1, 2, 3))))
    if chance.random() < 0.2:
        return tuple(Read(key) for key in some)
    if chance.random() < 0.03:
        return tuple(Delete(key) for key in some)
    return tuple(Write(key, random_operations(chance), random_precondition(chance)) for key in some)


def random_precondition(chance: random.Random) -> Precondition | None:
    if chance.random() < 0.9:
        return None
    return Exists(chance.random() < 0.9) if chance.random() < 0.5 else AtVersion(chance.randrange(50))


def made_up(calls: int, keys: int, *, seed: int = 0, unknown: float = 0.0) -> MadeUp:
    """A right history of so many random calls, a part of them never answered."""
    store = MadeUp(seed)
    names: list[Key] = [("user", f"user {number}") for number in range(keys)]
    for _ in range(calls):
        parts = random_parts(store.chance, names)
        silent = store.chance.random() < unknown
        store.call(*parts, unknown=silent, happens=not silent or store.chance.random() < 0.5)
    store.quiet()
    store.call(*(Read(name) for name in names))
    return store


def writes_of(parts: Sequence[Part]) -> list[ChangeState | DeleteState]:
    """The writes of a batch that does ``parts``; their reads are left out."""
    writes: list[ChangeState | DeleteState] = []
    for part in parts:
        if isinstance(part, Write):
            change = change_of(*part.operations)
            writes.append(ChangeState(_scope(part.key), change, part.precondition))
        elif isinstance(part, Delete):
            writes.append(DeleteState(_scope(part.key), part.precondition))
    return writes


def _scope(key: Key) -> ScopeKey:
    kind, tenant, name, flow_kind = key
    return ScopeKey(ScopeKind(kind), Tenant(tenant), name, flow_kind)
