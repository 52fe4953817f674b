from __future__ import annotations

from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.engine.calls.watches import ShownScope
from flowstate_server.engine.watches.progress import WatchProgress
from flowstate_server.engine.watches.shared_projections import SharedProjection
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.scopes import ScopeKind, user_scope

KEY = user_scope("ada")
FAILURE = Failure("INTERNAL", "no")


def projection(version: int, failures: dict[str, Failure] | None = None, **values: str) -> SharedProjection:
    digests = {name: text.encode() for name, text in values.items()}
    digests |= dict.fromkeys(failures or {}, b"failure")
    return SharedProjection(ShownScope(ScopeKind.USER, version, values, failures or {}), digests, 0)


def record(version: int, exists: bool = False) -> StateRecord:
    return StateRecord(KEY, version=version, exists=exists)


def test_the_first_is_whole_and_then_only_what_differs() -> None:
    progress = WatchProgress(LogCursor("log", 1))
    assert progress.is_new(ScopeKind.USER, record(1))
    assert progress.shown(record(1), projection(1, a="1", b="1")) == ShownScope(
        ScopeKind.USER, 1, {"a": "1", "b": "1"}
    )
    assert not progress.is_new(ScopeKind.USER, record(1))
    assert progress.is_new(ScopeKind.USER, record(1, exists=True))
    assert progress.shown(record(2), projection(2, a="1", b="1")) is None
    assert not progress.is_new(ScopeKind.USER, record(2))
    assert progress.shown(record(3), projection(3, a="2", c="1")) == ShownScope(
        ScopeKind.USER, 3, {"a": "2", "c": "1"}, removed=("b",)
    )


def test_a_name_that_fails_is_told_once_and_so_is_its_value_after() -> None:
    progress = WatchProgress(LogCursor("log", 1))
    progress.shown(record(1), projection(1, a="1"))
    failed = projection(2, {"a": FAILURE})
    assert progress.shown(record(2), failed) == ShownScope(ScopeKind.USER, 2, {}, {"a": FAILURE})
    assert progress.shown(record(3), projection(3, {"a": FAILURE})) is None
    assert progress.shown(record(4), projection(4, a="1")) == ShownScope(ScopeKind.USER, 4, {"a": "1"})
    progress.shown(record(5), projection(5, {"a": FAILURE}))
    assert progress.shown(record(6), projection(6)) == ShownScope(ScopeKind.USER, 6, {}, removed=("a",))


def test_the_cursor_moves_with_the_last_frame_of_a_reading() -> None:
    progress = WatchProgress(LogCursor("log", 1))
    scopes = [ShownScope(ScopeKind.USER, 1, {}), ShownScope(ScopeKind.ORG, 1, {})]
    assert [frame.cursor.sequence for frame in progress.changes(scopes, LogCursor("log", 5))] == [1, 5]
    assert list(progress.changes([], LogCursor("log", 7))) == []
    assert progress.cursor.sequence == 7
