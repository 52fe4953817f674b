"""Records as the flows of today read and write them, whichever generation of theirs stored them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

from flowstate_server.errors import InvalidArgumentError, ScopeUnavailableError, UpgradeResultError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject, copy_json, encode_json, same_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import called, does_work, other_work, readable
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription, Upgrade
from flowstate_server.programs.stuck_calls import StuckCalls, StuckError
from flowstate_server.programs.threads import DaemonThreads
from flowstate_server.state.code_time import MOST_SECONDS, code_clock
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.plain_json import plain_json

_logger = logging.getLogger(__name__)

# Seconds between two tracebacks of one flow's upgrades, which fails at every look at every record.
QUIET_SECONDS = 60.0
_told: WeakKeyDictionary[FlowDescription, float] = WeakKeyDictionary()
_threads = DaemonThreads("flowstate-upgrade")
_stuck = StuckCalls()
_TOO_SLOW = f"it took more than {MOST_SECONDS * 1000:.0f} ms: look things up in a block, not in an upgrade"
_IMPURE = "called twice with the same fields it gave two results: it may depend on nothing else"

_UpgradedBy = Callable[[FlowDescription, Upgrade, StateRecord, JsonObject], JsonObject]
_UNKNOWN = ("", 1)
"""Stands for writers who are no flow in particular, and for those of a record from before records told theirs."""


@frozen
class Upgraded:
    """A record as it is stored and as it reads today: ``record`` is ``stored`` itself unless an upgrade changes it.

    ``pointers`` are the top-level fields that differ.
    """

    stored: StateRecord
    record: StateRecord
    pointers: frozenset[Pointer] = frozenset()

    def is_of(self, record: StateRecord) -> bool:
        """Whether ``record`` is the stored one, perhaps loaded anew."""
        # A tombstone has version and incarnation of what was deleted.
        return record is self.stored or _identity(record) == _identity(self.stored)


class RecordUpgrades:
    """The upgrades and generations of the flows that share a record.

    Pure, but for what an upgrade does: the same may be asked inside and outside a transaction.
    """

    def __init__(self, scope: ScopeKind, flows: Sequence[FlowDescription]) -> None:
        self._scope = scope
        # What a run keeps for itself meets no other deploy.
        self._flows = () if scope is ScopeKind.REQUEST else flows
        self.upgrades = any(flow.generation(scope).upgrade is not None for flow in self._flows)
        """Whether any record may be upgraded."""
        self._own = {flow.kind: flow.generation(scope).number for flow in self._flows}
        self._after: dict[tuple[Generations | None, str], Generations] = {}  # every write asks; there are few

    @classmethod
    def of(
        cls, catalogue: Catalogue, scope: ScopeKind, flow: FlowDescription | None, *, isolated: bool = False
    ) -> RecordUpgrades:
        """Those of the flows that share the record which ``flow`` works on, see :meth:`Catalogue.sharing`; or of the
        flow alone, for its ``isolated`` record."""

        def make() -> RecordUpgrades:
            return cls(scope, (flow,) if isolated and flow is not None else catalogue.sharing(scope, flow))

        return catalogue.remembered((cls, scope, flow, isolated), make)

    def needed(self, record: StateRecord) -> bool:
        """Whether a flow has an upgrade for ``record``."""
        return self.upgrades and record.exists and any(True for _ in self._of(record))

    async def ahead(self, record: StateRecord) -> Upgraded:
        """:meth:`upgraded`, in a thread if there is code to run: the event loop does not wait for it.

        Each upgrade is called twice here, and refused if it does not make the same of the same: the next look at the
        record would show another state.

        Raises:
            ScopeUnavailableError: as there.
        """
        if not self.needed(record):
            return Upgraded(record, record)
        flow = next(self._of(record))[0]
        try:
            async with asyncio.timeout(2 * MOST_SECONDS):
                return await _stuck.call(_threads, flow, 2 * MOST_SECONDS, partial(self._tried, record))
        except TimeoutError:
            raise self._failed(flow, record, _TOO_SLOW) from None
        except StuckError as stuck:
            raise self._failed(flow, record, str(stuck)) from None

    def upgraded(self, record: StateRecord) -> Upgraded:
        """
        Raises:
            ScopeUnavailableError: an upgrade raised, took too long, or gave what can't be stored; the log tells more.
        """
        if not self.needed(record):
            return Upgraded(record, record)
        return self._made(record, self._upgraded_by)

    def _tried(self, record: StateRecord) -> Upgraded:
        return self._made(record, self._upgraded_twice_by)

    def _made(self, record: StateRecord, by: _UpgradedBy) -> Upgraded:
        stored = state = record.state
        for flow, upgrade in self._of(record):
            state = by(flow, upgrade, record, state)
        if state is stored:
            return Upgraded(record, record)
        return Upgraded(record, _with_state(record, state), _differing(stored, state))

    def writable(self, record: StateRecord) -> bool:
        """Whether no newer deploy has written ``record``."""
        try:
            self.require_writable(record)
        except ScopeUnavailableError:
            return False
        return True

    def require_writable(self, record: StateRecord) -> None:
        """
        Raises:
            ScopeUnavailableError: a newer deploy of one of the flows has written the record.
        """
        for kind, stored in record.generations if record.exists else ():
            own = self._own.get(kind)
            if own is not None and stored > own:
                problem = (
                    f'it was written by a newer deploy of flow "{kind}", of generation {stored}; '
                    f"this server's is {own}; to go back for good, deploy a higher one whose upgrade= reverses it"
                )
                raise ScopeUnavailableError(self._scope.value, problem)

    def written(self, record: StateRecord, writer: str) -> Generations | None:
        """The generations of ``record``, as it was stored, after a write of the flow ``writer`` (empty: of nobody in
        particular, who may write what any of them declares); ``None``: as they are.

        What is stored then is of the present generations of all flows that share it. Of those that do not write, the
        first is not noted: it would tell nothing, but that the record has several writers.
        """
        if not self._flows:
            return None
        before = record.generations if record.exists else None
        after = self._after.get((before, writer))
        if after is None:
            known = dict(before or ([_UNKNOWN] if record.exists else ()))
            known |= {kind: number for kind, number in self._own.items() if kind == writer or number > 1}
            known |= {} if writer else dict([_UNKNOWN])
            after = self._after[before, writer] = tuple(sorted(known.items()))
        return None if after == record.generations else after

    def _of(self, record: StateRecord) -> Iterator[tuple[FlowDescription, Upgrade]]:
        for flow in self._flows:
            generation = flow.generation(self._scope)
            if generation.upgrade is not None and _stored_generation(record, flow.kind) < generation.number:
                yield flow, generation.upgrade

    def _upgraded_by(
        self, flow: FlowDescription, upgrade: Upgrade, record: StateRecord, state: JsonObject
    ) -> JsonObject:
        for _ in range(2):  # the first time the process may have been stopped, or kept off the machine
            began = code_clock()
            try:
                after = called(self._changed_by, flow, upgrade, record, state)
            except Exception as error:
                # Text of an author's exception may hold what is stored.
                what = type(error).__name__
                if isinstance(error, InvalidArgumentError | UpgradeResultError):
                    what = str(error).removesuffix(".")  # more is said around it
                raise self._failed(flow, record, what, error) from error
            if code_clock() - began <= MOST_SECONDS:
                return after
        raise self._failed(flow, record, _TOO_SLOW)

    def _upgraded_twice_by(
        self, flow: FlowDescription, upgrade: Upgrade, record: StateRecord, state: JsonObject
    ) -> JsonObject:
        after, again = (self._upgraded_by(flow, upgrade, record, state) for _ in range(2))
        if not same_json(after, again):
            raise self._failed(flow, record, _IMPURE)
        return after

    def _failed(
        self, flow: FlowDescription, record: StateRecord, what: str, error: Exception | None = None
    ) -> ScopeUnavailableError:
        generation = flow.generation(self._scope).number
        before = _stored_generation(record, flow.kind)
        which = f'the upgrade of flow "{flow.kind}" from generation {before} to {generation} failed'
        self._tell(flow, f"{which} for the {self._scope} state: {what}", error)
        return ScopeUnavailableError(self._scope.value, f"{which}: {what}")

    @does_work
    def _changed_by(
        self, flow: FlowDescription, upgrade: Upgrade, record: StateRecord, state: JsonObject
    ) -> JsonObject:
        work = other_work(f'the upgrade of the {self._scope} state of flow "{flow.kind}"')  # noqa: F841 - read by work_of
        schema = flow.schemas[self._scope]
        others = [other.schemas[self._scope] for other in self._flows if other is not flow]
        got = {
            name: value
            for name, value in state.items()
            if schema.declares(name) or not any(other.declares(name) for other in others)
        }
        given = upgrade(copy_json(got))
        changed = {
            name: value for name, value in given.items() if name not in got or not same_json(value, got[name])
        }
        alone = self._scope is ScopeKind.SESSION or record.key.flow_kind != "" or _is_alone(record, flow)
        removed = {name for name in got if name not in given and (schema.declares(name) or alone)}
        if not changed and not removed:
            return state
        after = {name: value for name, value in state.items() if name not in removed}
        after.update(
            cast(JsonObject, plain_json(changed, ""))
        )  # by the profile and its limits, whoever made it
        touched = frozenset(changed) | {name for name in removed if schema.declares(name)}
        # What was stored once is not measured by today's clock: it counts as having been there.
        return schema.check(after, touched, after)

    def _tell(self, flow: FlowDescription, text: str, error: Exception | None) -> None:
        now = time.monotonic()
        if now - _told.get(flow, -QUIET_SECONDS) >= QUIET_SECONDS:
            _told[flow] = now
            _logger.error("%s", text, exc_info=error and readable(error))


def _identity(record: StateRecord) -> tuple[int, str, bool]:
    return record.version, record.incarnation, record.exists


def _stored_generation(record: StateRecord, flow_kind: str) -> int:
    return next((number for kind, number in record.generations if kind == flow_kind), 1)


def _is_alone(record: StateRecord, flow: FlowDescription) -> bool:
    """Whether all that is in a shared record was written by ``flow``, for all that is known."""
    return [kind for kind, _ in record.generations] == [flow.kind]


def _with_state(record: StateRecord, state: JsonObject) -> StateRecord:
    return state_record(
        record.key,
        version=record.version,
        incarnation=record.incarnation,
        state=state,
        text=encode_json(state),
        create_time=record.create_time,
        update_time=record.update_time,
        generations=record.generations,
        schema_hash=record.schema_hash,
    )


def _differing(before: JsonObject, after: JsonObject) -> frozenset[Pointer]:
    names: Set[str] = before.keys() | after.keys()
    return frozenset(
        [
            (name,)
            for name in names
            if name not in before or name not in after or not same_json(before[name], after[name])
        ]
    )
