"""Projections that many watchers of one record share."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from hashlib import blake2b

from flowstate_server.engine.calls.watches import ShownScope
from flowstate_server.engine.records.projections import NONE, Projections
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.program import HostedFlow

# Bytes of values that are kept for the next watcher who asks. A change wakes all watchers at once, so they ask within
# a moment. Chosen.
KEPT_BYTES = 8 * 1024 * 1024
# Bytes of one that count beside its values. Chosen.
_OVERHEAD = 1024


@frozen
class SharedProjection:
    """``digests`` tell by name whether what is shown is what was shown before, the same failure included."""

    scope: ShownScope
    digests: Mapping[str, bytes]
    size: int


def identity_of(record: StateRecord, resources: Mapping[str, ResourceRecord] = NONE) -> Hashable:
    """Equal for the same content of the same record, and of the same resources, only."""
    seen = record.key, record.incarnation, record.version, record.exists, record.update_time
    if not resources:
        return seen
    return seen, tuple(
        [(one.key.name, one.incarnation, one.version, one.exists) for one in resources.values()]
    )


class SharedProjections:
    """Computes a projection once for all who ask for the same names of the same version.

    Who asks while it is computed waits for it. Values are kept for who asks later; failures are not: they were those
    of a moment, and who comes later has them tried again.
    """

    def __init__(self, projections: Projections) -> None:
        self._projections = projections
        self._kept: OrderedDict[Hashable, SharedProjection] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[Hashable, asyncio.Task[SharedProjection]] = {}

    async def of(
        self,
        flow: HostedFlow,
        kind: ScopeKind,
        record: StateRecord,
        names: frozenset[str],
        resources: Mapping[str, ResourceRecord] = NONE,
    ) -> SharedProjection:
        """As :meth:`Projections.of`."""
        key = (flow, identity_of(record, resources), names)
        kept = self._kept.get(key)
        if kept is not None and not kept.scope.failures:
            self._kept.move_to_end(key)
            return kept
        computing = self._under_way.get(key)
        if computing is None:
            computing = asyncio.create_task(self._compute(key, flow, kind, record, names, resources))
            self._under_way[key] = computing
            computing.add_done_callback(lambda task: self._computed(key, task))
        return await asyncio.shield(computing)  # others wait for it, too

    async def _compute(
        self,
        key: Hashable,
        flow: HostedFlow,
        kind: ScopeKind,
        record: StateRecord,
        names: frozenset[str],
        resources: Mapping[str, ResourceRecord],
    ) -> SharedProjection:
        kept = self._kept.get(key)
        wanted = names if kept is None else frozenset(kept.scope.failures)
        projection = await self._projections.of(flow, kind, record, wanted, resources)
        values = dict(kept.scope.values) if kept is not None else {}
        values |= {name: encode_json(value).decode() for name, value in projection.values.items()}
        versions = dict(kept.scope.resource_versions) if kept is not None else {}
        versions |= projection.resource_versions
        shown = ShownScope(kind, record.version, values, projection.failures, (), versions)
        digests = {name: _digest(f"{versions.get(name, '')}{text}") for name, text in values.items()}
        digests |= {name: _failure_digest(failure) for name, failure in projection.failures.items()}
        return SharedProjection(shown, digests, _OVERHEAD + sum(map(len, values.values())))

    def _computed(self, key: Hashable, task: asyncio.Task[SharedProjection]) -> None:
        del self._under_way[key]
        if task.cancelled() or task.exception() is not None:
            return
        self._forget(key)
        shared = task.result()
        self._kept[key] = shared
        self._kept_bytes += shared.size
        while self._kept_bytes > KEPT_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        shared = self._kept.pop(key, None)
        if shared is not None:
            self._kept_bytes -= shared.size


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _failure_digest(failure: Failure) -> bytes:
    """Without its error id: that is another one each time, and who was told one failure needs no second."""
    told = encode_json([failure.reason, failure.message, failure.details, failure.retryable])
    return blake2b(told, digest_size=16, person=b"failure").digest()
