"""A flow to watch, and a reader of watches that holds them to their protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio
from pydantic import BaseModel

from flowstate.v1.session_service_pb2 import (
    ScopeProjection,
    SnapshotSelector,
    WatchSnapshotRequest,
    WatchSnapshotResponse,
)
from flowstate.v1.types_pb2 import (
    END_REASON_DELETED,
    SCOPE_KIND_ORG,
    SCOPE_KIND_SESSION,
    SCOPE_KIND_USER,
    Failure,
    ScopeKind,
)
from flowstate_server.flows import ClientView, Context, Flow, Org, Session, User, action, define_flow, handler
from flowstate_server.model.json_values import Json, decode_json
from tests.support.hosted import Hosted

SESSION, USER, ORG = "session", "user", "org"
_SCOPES = {SCOPE_KIND_SESSION: SESSION, SCOPE_KIND_USER: USER, SCOPE_KIND_ORG: ORG}


class Board(BaseModel):
    title: str
    count: int = 0
    secret: str = ""


class Taste(BaseModel):
    theme: str = "light"


class Team(BaseModel):
    budget: int = 0
    hidden: int = 0


def board(**derived_of_org: Any) -> Flow:
    """``bump`` counts in the session, the user's theme and the org's budget are for trusted writers."""

    @handler(session_state=Board)
    async def bump(value: None, ctx: Context[Board]) -> None:
        await ctx.session.inc_state({"count": 1})

    return define_flow(
        "board",
        session=Session(
            state=Board,
            client=ClientView(
                expose=["title", "count"], derived={"double": lambda view: view.state.count * 2}
            ),
        ),
        user=User(state=Taste, client=ClientView(expose=["theme"])),
        org=Org(state=Team, client=ClientView(expose=["budget"], derived=derived_of_org)),
        actions={"bump": action(block=bump)},
    )


class Watching:
    """One watch, read as a client does, and what it shows: ``values``, ``failures`` and ``versions`` by scope.

    ``frames`` are all so far.
    """

    def __init__(self, call: aio.UnaryStreamCall[Any, WatchSnapshotResponse]) -> None:
        self.call = call
        self.frames: list[WatchSnapshotResponse] = []
        self.values: dict[str, dict[str, Json]] = {}
        self.failures: dict[str, dict[str, Failure]] = {}
        self.versions: dict[str, int] = {}

    @property
    def kinds(self) -> list[str]:
        return [frame.WhichOneof("frame") or "" for frame in self.frames]

    async def next(self, seconds: float = 20.0) -> WatchSnapshotResponse:
        async with asyncio.timeout(seconds):
            frame = await self.call.read()
        assert isinstance(frame, WatchSnapshotResponse), "the watch is over"
        self.frames.append(frame)
        self._take(frame)
        return frame

    async def until(self, holds: Callable[[Watching], bool], seconds: float = 20.0) -> None:
        """Read on until it ``holds``."""
        async with asyncio.timeout(seconds):
            while not (self.values and holds(self)):
                await self.next(seconds)

    async def ended(self) -> None:
        """Read on to the end."""
        while (await self.next()).WhichOneof("frame") != "ended":
            pass
        assert await self.call.read() is aio.EOF
        assert (await self.call.code()).name == "OK"

    def _take(self, frame: WatchSnapshotResponse) -> None:
        kinds = self.kinds
        assert frame.cursor.log_id == self.frames[0].cursor.log_id
        if len(self.frames) > 1:
            assert frame.cursor.sequence >= self.frames[-2].cursor.sequence
        match kinds[-1]:
            case "started":
                assert len(kinds) == 1, "started comes once, first"
            case "snapshot":
                assert len(kinds) == 2, "the whole view comes once, second"
                assert frame.snapshot.cursor == frame.cursor
                for scope in frame.snapshot.scopes:
                    assert not scope.removed
                    self._merge(scope)
            case "change":
                assert kinds[1] == "snapshot"
                scope = frame.change
                assert scope.values or scope.failures or scope.removed, "a change of nothing"
                told = [*scope.values, *scope.failures, *scope.removed]
                assert len(told) == len(set(told)), "a name is told one thing"
                self._merge(scope)
            case "heartbeat":
                assert kinds[1] == "snapshot"
            case "ended":
                assert frame.ended.reason == END_REASON_DELETED
            case other:
                raise AssertionError(f"unexpected frame {other!r}")

    def _merge(self, scope: ScopeProjection) -> None:
        name = _SCOPES[scope.scope]
        values, failures = self.values.setdefault(name, {}), self.failures.setdefault(name, {})
        for gone in (*scope.removed, *scope.failures, *scope.values):
            before = values.pop(gone, None), failures.pop(gone, None)
            if gone in scope.removed:
                assert before != (None, None), "what was never told can't vanish"
            if gone in scope.values and self.kinds[-1] == "change":
                assert before[0] != decode_json(scope.values[gone].json.encode()), "told what was told before"
        values.update({key: decode_json(value.json.encode()) for key, value in scope.values.items()})
        failures.update(scope.failures)
        self.versions[name] = scope.version


def watch(
    server: Hosted, session_id: str, *selectors: tuple[ScopeKind.ValueType, Sequence[str]], **fields: Any
) -> Watching:
    """Watch a session of ``u1``; ``fields`` are more of the request."""
    metadata = fields.pop("metadata", (("x-flowstate-user", "u1"),))
    request = WatchSnapshotRequest(
        session_id=session_id,
        selectors=[SnapshotSelector(scope=scope, names=names) for scope, names in selectors],
        **fields,
    )
    return Watching(server.sessions.WatchSnapshot(request, metadata=metadata))
