"""Watches of what a flow shows of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.engine.calls.sessions import ActiveRequest, Selector
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind


@frozen
class WatchCall:
    """Which session to watch, and what of it; ``heartbeat`` in seconds (0: the default)."""

    session_id: str
    selectors: Sequence[Selector] = ()
    heartbeat: Seconds = Seconds(0.0)


@frozen
class ShownScope:
    """Names of a scope: ``values`` as JSON text, why others have none, and those that are ``removed``."""

    scope: ScopeKind
    version: int
    values: Mapping[str, str]
    failures: Mapping[str, Failure] = field(default_factory=dict)
    removed: Sequence[str] = ()
    resource_versions: Mapping[str, int] = field(default_factory=dict)


@frozen
class WatchStarted:
    cursor: LogCursor
    heartbeat: Seconds


@frozen
class WatchWhole:
    """The whole view at ``time``."""

    cursor: LogCursor
    session_id: str
    scopes: Sequence[ShownScope]
    active: Sequence[ActiveRequest]
    time: Micros


@frozen
class WatchChange:
    """The names of one scope that changed, failed or vanished."""

    cursor: LogCursor
    change: ShownScope


@frozen
class WatchHeartbeat:
    cursor: LogCursor


@frozen
class WatchEnded:
    """The session was deleted."""

    cursor: LogCursor


WatchFrame = WatchStarted | WatchWhole | WatchChange | WatchHeartbeat | WatchEnded
