"""Code of authors that validates a write runs ahead of it, in a thread: nobody waits for it but who writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from weakref import WeakKeyDictionary

from flowstate_server.errors import FlowStateError, StateValidationError, Violation
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, same_json
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.programs.author_code import readable
from flowstate_server.programs.stuck_calls import STUCK, StuckCalls
from flowstate_server.programs.threads import STILL_SECONDS, DaemonThreads
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.apply import Applied, apply
from flowstate_server.state.code_time import CODE_AT_WORK, MOST_SECONDS, TOO_SLOW, CodeAtWork, code_clock
from flowstate_server.state.json_pointer import format_pointer, parse_pointer
from flowstate_server.state.missing import MISSING, Missing
from flowstate_server.state.operations import TESTS, Merge, Operation, SetValue

AT_ONCE = 32
"""Validations in threads at the same time, those that take too long not counted. Chosen: more only wait for the GIL."""
PROVEN = 500
"""Validations, each quick, after which a field's code is known to be quick and runs in the transaction: a turn of a
thread costs as much as a commit. Chosen."""
QUICK_SECONDS = 0.01
"""Two turns of those who want the GIL: less can't be told from waiting for it."""
SLOW_SECONDS = 0.1
"""Code that took so long once is never taken for quick again."""
SPARE_SECONDS = 0.01
"""So much later than the code itself is to find that it was too slow."""
MOST_STUCK_IN_ALL = 64
"""Of one field's validations, whoever writes: what one tenant or user brings that never ends keeps no other one from
writing, until it is this many threads. Chosen."""

WATCHED = 8
"""So many first rehearsals of a field validate what they have made a few times more: code that counts, or draws lots,
makes something else of it then. Chosen: a change at every 25th call, or more often, shows."""
_UNSTEADY = (
    "is not made into the same value each time: a validator may go by the value alone, and must leave what it made as "
    "it is"
)

_logger = logging.getLogger(__name__)
_threads = DaemonThreads("flowstate-validation")
_stuck = StuckCalls()
_paces: WeakKeyDictionary[ScopeSchema, dict[str, int]] = WeakKeyDictionary()
"""How many times in a row the code of a field was quick."""
_watched: WeakKeyDictionary[ScopeSchema, dict[str, int]] = WeakKeyDictionary()
"""How many rehearsals of a field were."""
_NO_PACE: Mapping[str, int] = {}
_NEVER = -(10**18)


@frozen
class Rehearsed:
    """What code of authors made of what it saw: the same again for the same."""

    saw: dict[str, Json | Missing]
    before: JsonObject
    touched: frozenset[str]
    changed: JsonObject

    def of(self, applied: Applied) -> Applied | None:
        """``applied`` in normal form if it holds what was rehearsed."""
        if applied.fields != self.touched:
            return None
        if not all(_same(applied.state.get(name, MISSING), value) for name, value in self.saw.items()):
            return None
        # What stood there already may be let pass, what a write brings may not.
        if not all(_same(applied.before.get(name, MISSING), value) for name, value in self.before.items()):
            return None
        return applied.normalized({**applied.state, **self.changed}) if self.changed else applied


def may_take_long(operations: Sequence[Operation], schema: ScopeSchema) -> bool:
    """Whether code of authors that is not known to be quick validates what ``operations`` write."""
    seen = schema.seen_by_code(_touched(operations, schema))
    if not seen:
        return False
    pace = _paces.get(schema, _NO_PACE)
    return any(pace.get(name, 0) < PROVEN for name in seen)


def checked(applied: Applied, schema: ScopeSchema, fitting: Set[str] = frozenset()) -> Applied:
    """``applied`` as it is to be stored, found here and now; see :meth:`Applied.checked`.

    Raises:
        StateValidationError: see :meth:`Applied.checked`.
    """
    seen = schema.seen_by_code(applied.fields)
    if not seen:
        return applied.checked(schema, fitting)
    began = code_clock()
    try:
        return applied.checked(schema, fitting)
    except StateValidationError as refusal:
        if refusal.__cause__ is not None:
            _logger.error("%s", refusal, exc_info=readable(refusal.__cause__))
        raise
    finally:
        _note(schema, seen, code_clock() - began)


def _note(schema: ScopeSchema, fields: Iterable[str], seconds: float) -> None:
    pace = _paces.setdefault(schema, {})
    for name in fields:
        before = pace.get(name, 0)
        if seconds > SLOW_SECONDS:
            pace[name] = _NEVER
        else:
            pace[name] = before + 1 if seconds < QUICK_SECONDS else min(0, before)


def brings_all(operations: Sequence[Operation], schema: ScopeSchema) -> bool:
    """Whether that code sees what ``operations`` bring and nothing else: they may be rehearsed on an empty record."""
    touched = _touched(operations, schema)
    whole = all(
        (isinstance(operation, Merge) and not operation.path)
        or (isinstance(operation, SetValue) and len(operation.path) == 1)
        for operation in operations
    )
    return whole and schema.seen_by_code(touched) <= touched


def _touched(operations: Sequence[Operation], schema: ScopeSchema) -> frozenset[str]:
    touched: set[str] = set()
    for operation in operations:
        if isinstance(operation, TESTS):
            continue
        if operation.path:
            touched.add(operation.path[0])
        elif isinstance(operation, Merge):
            touched.update(operation.fields)
        else:
            touched.update(schema.fields)
    return frozenset(touched)


def _same(one: Json | Missing, other: Json | Missing) -> bool:
    if one is other:
        return True
    return one is not MISSING and other is not MISSING and same_json(one, other)


class Rehearsals:
    """Those of one engine."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def of(
        self, operations: Sequence[Operation], schema: ScopeSchema, record: StateRecord
    ) -> Rehearsed | None:
        """What the validation of ``operations`` on ``record`` makes, ``None`` if it is to be found in the transaction.

        What is refused here is not refused yet: the newest record decides.

        Raises:
            StateValidationError: by field: code took too long; is not called, as it did so before and goes on; or does
                not make the same of a value each time.
        """
        try:
            applied = apply(record.state, operations, schema)
        except FlowStateError:
            return None
        by_code = schema.seen_by_code(applied.fields)
        async with self._turns:
            if stuck := [name for name in sorted(by_code) if _is_stuck(schema, name, record.key)]:
                raise StateValidationError(record.key.kind, tuple(map(_stuck_violation, stuck)))
            began = code_clock()
            try:
                normal = await _Rehearsal(record.key, schema, applied, _tries(schema, by_code)).normal()
            finally:
                _note(schema, by_code, code_clock() - began)
        if normal is None:
            return None
        seen = by_code | applied.fields
        return Rehearsed(
            saw={name: applied.state.get(name, MISSING) for name in seen},
            before={name: applied.before[name] for name in applied.fields if name in applied.before},
            touched=applied.fields,
            changed={
                name: normal[name]
                for name in applied.fields
                if name in normal and normal[name] is not applied.state.get(name)
            },
        )


def _tries(schema: ScopeSchema, fields: Iterable[str]) -> int:
    """How many times more the normal form is to be validated. Not always as many, or a counter might keep in step."""
    watched = _watched.setdefault(schema, {})
    fewest = WATCHED
    for name in fields:
        before = watched.get(name, 0)
        fewest = min(fewest, before)
        watched[name] = before + 1
    return 2 + fewest % 5 if fewest < WATCHED else 0


def _is_stuck(schema: ScopeSchema, name: str, key: ScopeKey) -> bool:
    return _stuck.full((schema, name, _whose(key))) or _stuck.full((schema, name), MOST_STUCK_IN_ALL)


def _whose(key: ScopeKey) -> Hashable:
    """The tenant, or the user or org, whom all tenants share."""
    return key.tenant if key.kind in (ScopeKind.SESSION, ScopeKind.REQUEST) else (key.kind, key.id)


def _stuck_violation(name: str) -> Violation:
    return Violation(format_pointer((name,)), TOO_SLOW, f"is validated by code that does not end: {STUCK}")


class _Rehearsal:
    """One validation in a thread, which is left to its code if that does not end."""

    def __init__(self, key: ScopeKey, schema: ScopeSchema, applied: Applied, tries: int) -> None:
        self._key = key
        self._tries = tries
        self._schema = schema
        self._applied = applied
        self._at_work = CodeAtWork()
        self._again = False
        self._loop = asyncio.get_running_loop()

    async def normal(self) -> JsonObject | None:
        """The normal form, ``None`` if it is refused."""
        self._call = _stuck.watched(self._check)
        self._answer = _threads.begin(self._call, still=STILL_SECONDS)
        if self._answer.done():
            return self._answer.result()
        self._look_after(MOST_SECONDS)
        try:
            return await self._answer
        finally:
            if not self._call.going_on:
                self._timer.cancel()

    def _check(self) -> JsonObject | None:
        CODE_AT_WORK.set(self._at_work)
        try:
            normal = self._schema.check(self._applied.state, self._applied.fields, self._applied.before)
        except StateValidationError as refusal:
            if not any(violation.rule == TOO_SLOW for violation in refusal.violations):
                return None
            if self._again or self._call.given_up:
                raise
            self._again = True  # the process may have been stopped, or kept off the machine
            return self._check()
        except BaseException:  # the transaction will meet the same
            return None
        unsteady = self._unsteady(normal)
        if unsteady:
            raise StateValidationError(
                self._key.kind,
                tuple(Violation(format_pointer((name,)), "not_a_fixpoint", _UNSTEADY) for name in unsteady),
            )
        return normal

    def _unsteady(self, normal: JsonObject) -> Sequence[str]:
        """The fields of which code makes another value when it is asked again."""
        for _ in range(self._tries):
            try:
                again = self._schema.check(normal, self._applied.fields, normal)
            except StateValidationError as refusal:
                if any(violation.rule == TOO_SLOW for violation in refusal.violations):
                    return ()
                return sorted({parse_pointer(one.path)[0] for one in refusal.violations if one.path})
            except BaseException:  # a bug, which is not there each time
                return ()
            if again is not normal:
                names = self._applied.fields
                return sorted(name for name in names if again.get(name) is not normal.get(name))
        return ()

    def _look_after(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds + SPARE_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._answer.done() and not self._call.going_on:  # it may go on although nobody waits any more
            return
        late = self._loop.time() - self._due > MOST_SECONDS / 2  # then the code may have been held up as well
        overdue = () if late else self._at_work.overdue
        if overdue:
            fields = [(self._schema, parse_pointer(one.path)[0]) for one in overdue]
            self._call.give_up(*fields, *[(*field, _whose(self._key)) for field in fields])
            if not self._answer.done():
                self._answer.set_exception(StateValidationError(self._key.kind, overdue))
        else:
            self._look_after(max(self._at_work.left, SPARE_SECONDS))
