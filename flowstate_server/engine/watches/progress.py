"""What the reader of a watch was shown, and the frames that bring it forward."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.engine.calls.watches import ShownScope, WatchChange
from flowstate_server.engine.records.projections import NONE
from flowstate_server.engine.records.session_reading import Resources
from flowstate_server.engine.watches.shared_projections import SharedProjection, identity_of
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind


class WatchProgress:
    """Remembers a digest a name, not what was shown; ``cursor`` is that of the newest frame."""

    def __init__(self, cursor: LogCursor) -> None:
        self.cursor = cursor
        self._records: dict[ScopeKind, Hashable] = {}
        self._digests: dict[ScopeKind, Mapping[str, bytes]] = {}

    def is_new(self, kind: ScopeKind, record: StateRecord, resources: Resources = NONE) -> bool:
        """Whether something else than this was shown of the scope."""
        return self._records.get(kind) != identity_of(record, resources)

    def shown(
        self, record: StateRecord, projection: SharedProjection, resources: Resources = NONE
    ) -> ShownScope | None:
        """What the reader has to be told of the scope, which it has been told then."""
        kind = projection.scope.scope
        before = self._digests.get(kind)
        self._records[kind] = identity_of(record, resources)
        self._digests[kind] = projection.digests
        return projection.scope if before is None else _difference(before, projection)

    def changes(self, scopes: Sequence[ShownScope], cursor: LogCursor) -> Iterator[WatchChange]:
        """The frames for what changed up to ``cursor``. What is shown is true for it after the last of them only."""
        for scope in scopes[:-1]:
            yield WatchChange(self.cursor, scope)
        self.cursor = cursor
        for scope in scopes[-1:]:
            yield WatchChange(cursor, scope)


def _difference(before: Mapping[str, bytes], projection: SharedProjection) -> ShownScope | None:
    now, scope = projection.digests, projection.scope
    changed = {name for name, digest in now.items() if before.get(name) != digest}
    removed = tuple(sorted(before.keys() - now.keys()))
    if not changed and not removed:
        return None
    return ShownScope(
        scope.scope,
        scope.version,
        {name: text for name, text in scope.values.items() if name in changed},
        {name: failure for name, failure in scope.failures.items() if name in changed},
        removed,
        {name: version for name, version in scope.resource_versions.items() if name in changed},
    )
