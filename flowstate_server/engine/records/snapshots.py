"""Client snapshots: what a flow shows of a session, its user and its org, from one consistent read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from flowstate_server.engine.bindings import Binding, Bindings
from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.engine.calls.sessions import ActiveRequest, ScopeProjection, Selector, Snapshot
from flowstate_server.engine.readings import Readings
from flowstate_server.engine.state_change import shared_scopes
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import (
    ScopeUnavailableError,
    SessionNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, session_scope
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import HostedFlow
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.stores.store import Store

SHOWN = (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG)
# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 3
# A snapshot has to fit into a message of 4 MiB, whatever a derived value makes of the state. Chosen.
MAX_DERIVED_BYTES = 256 * 1024

_NOT_UPGRADED = Failure("INTERNAL", "the stored state can't be upgraded to that of today's flow")
_UNREADABLE = "the stored value does not fit its schema, or not any more"
_logger = logging.getLogger(__name__)


class Snapshots:
    def __init__(self, store: Store, catalogue: Catalogue, bindings: Bindings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings

    async def get(self, principal: Principal, session_id: str, selectors: Sequence[Selector]) -> Snapshot:
        """The client projection of the session; the same for every plane.

        Without selectors every scope that the flow shows something of. A derived value that fails is reported under
        its name, the others are served.
        """
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, session_id)
            flow = self._catalogue.get(binding.flow_kind)
            names = _selected(flow.described, selectors)
            keys = _scope_keys(binding, flow.described)
            shown = {kind: keys[kind] for kind in names if kind in keys}
            read = await self._store.read_projection(binding.key, shown.values())
            if read is None:
                self._bindings.forget(binding.key)
                raise SessionNotFoundError(session_id)
            if read.session.log_id == binding.log_id:
                return await self._snapshot(flow, read, shown, names)
            self._bindings.forget(binding.key)
        raise StoreUnavailableError

    async def _snapshot(
        self,
        flow: HostedFlow,
        read: Projection,
        shown: Mapping[ScopeKind, ScopeKey],
        names: Mapping[ScopeKind, frozenset[str]],
    ) -> Snapshot:
        scopes = [
            await self._project(flow, kind, read.states[key], names[kind]) for kind, key in shown.items()
        ]
        return Snapshot(
            session_id=read.session.key.session_id,
            scopes=scopes,
            active=[
                ActiveRequest(head.key.request_id, LogCursor(head.log_id, head.sequence))
                for head in read.active
            ],
            cursor=LogCursor(read.session.log_id, read.head.sequence),
            time=read.time,
        )

    async def _project(
        self, flow: HostedFlow, kind: ScopeKind, record: StateRecord, names: frozenset[str]
    ) -> ScopeProjection:
        shown = flow.described.shown[kind]
        schema = flow.described.schemas[kind]
        upgrades = RecordUpgrades.of(self._catalogue, kind, flow.described)
        try:
            stored = (await upgrades.ahead(record)).record.state
        except ScopeUnavailableError:
            return ScopeProjection(kind, record.version, {}, dict.fromkeys(names, _NOT_UPGRADED))
        tell = partial(_tell, flow.described.kind, kind)
        readings = self._catalogue.remembered((Snapshots, Readings), Readings)
        reading, error_id = readings.of(schema, record, stored, shown.exposed, tell)
        state = schema.with_defaults(stored)
        if reading.values:
            state = {**state, **reading.values}
        values: dict[str, Json] = {
            name: state[name] for name in shown.exposed if name in names and name in state
        }
        failures = dict.fromkeys(
            reading.unreadable & values.keys(), Failure("INTERNAL", _UNREADABLE, error_id=error_id)
        )
        for name in failures:
            del values[name]
        if wanted := [name for name in shown.derived if name in names]:
            try:
                derived = await flow.program.derive(kind, wanted, stored)
            except EXITS as error:
                raise contained(error) from error
            for name in wanted:
                outcome = _bounded(derived[name])
                if isinstance(outcome, Failure):
                    failures[name] = outcome
                else:
                    values[name] = outcome
        return ScopeProjection(kind, record.version, values, failures)


def _tell(flow_kind: str, kind: ScopeKind, unreadable: frozenset[str]) -> str:
    """The id under which the log tells what can't be shown."""
    error_id = new_id("err_")
    _logger.warning(
        "the stored %s state does not fit the schema of flow %r (any more), clients don't see: %s (%s)",
        kind,
        flow_kind,
        ", ".join(sorted(unreadable)),
        error_id,
        extra={"error_id": error_id},
    )
    return error_id


def _bounded(derived: Json | Failure) -> Json | Failure:
    """A value so large that it would keep the others from being served counts as failed."""
    if isinstance(derived, Failure) or len(encode_json(derived)) <= MAX_DERIVED_BYTES:
        return derived
    return Failure("INTERNAL", f"the derived value has more than {MAX_DERIVED_BYTES} bytes")


def _scope_keys(binding: Binding, flow: FlowDescription) -> dict[ScopeKind, ScopeKey]:
    return {
        ScopeKind.SESSION: session_scope(binding.key),
        **shared_scopes(flow, binding.user_id, binding.org_id),
    }


def _selected(flow: FlowDescription, selectors: Sequence[Selector]) -> dict[ScopeKind, frozenset[str]]:
    """The names to show by scope."""
    offered = {
        kind: frozenset((*names.exposed, *names.derived))
        for kind in SHOWN
        if (names := flow.shown.get(kind)) is not None
    }
    if not selectors:
        return {kind: names for kind, names in offered.items() if names}
    selected: dict[ScopeKind, frozenset[str]] = {}
    for position, selector in enumerate(selectors):
        path = f"selectors[{position}]"
        if selector.scope in selected:
            raise _violation(f"{path}.scope", "duplicate", "must name each scope once")
        known = offered.get(selector.scope, frozenset())
        for index, name in enumerate(selector.names):
            if name not in known:
                raise _violation(f"{path}.names[{index}]", "unknown_name", "is not shown to clients")
        if known:
            selected[selector.scope] = frozenset(selector.names) or known
    return selected


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
