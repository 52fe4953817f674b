"""Programs of commands for several clients: how they are drawn, and how a command is performed by a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
from grpc import aio
from hypothesis import strategies as st

from flowstate.v1.flow_service_pb2 import ActionSpec, CallActionRequest
from flowstate.v1.session_service_pb2 import CreateSessionRequest, Session
from flowstate.v1.state_service_pb2 import (
    AppendOp,
    DeleteRecordOp,
    GetStateRequest,
    IncrementOp,
    MergeOp,
    PutRecordOp,
    RemoveOp,
    StateMutation,
    StateOp,
)
from flowstate.v1.types_pb2 import Precondition, ScopeRef, Value
from tests.support.flows import written_fields
from tests.support.raw_calls import TRUSTED, Stubs, outcome
from tests.support.state_model import CURRENT, Bump, Command, Commit, Mutation, Op, Outcome, Read
from tests.support.wire import read_refusal

KIND = "ledger"
SESSIONS = ("session 1", "session 2")
SCOPES = (*SESSIONS, "user", "private user")


def _weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.sampled_from([choice for weight, choice in choices for _ in range(weight)]).flatmap(
        lambda choice: choice
    )


_values = st.sampled_from(
    [0, 1, -7, 2**63 - 1, True, None, 1.0, 0.5, "x", ["x"], [], {}, {"k": 1}, {"k": "x"}]
)
_names = st.sampled_from(["count", "total", "names", "by_key", "f0", "f1"])
_any_name = st.one_of(_names, _names, _names, st.just("unknown"))
_fields = st.dictionaries(_any_name, _values, max_size=3)
_good_fields = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(-2, 2),
        "total": st.sampled_from([0, 1, 0.5]),
        "names": st.lists(st.sampled_from(["x", "y"]), max_size=2),
        "by_key": st.dictionaries(st.sampled_from(["k", "l"]), st.integers(0, 2), max_size=2),
        "f0": st.sampled_from([None, 0, 1]),
    },
)
_deltas = st.sampled_from([0, 1, -1, 5, 0.5, 2**62])
_keys = st.sampled_from(["k", "l"])

_good_ops = st.one_of(
    st.builds(Op, st.just("increment"), st.just("count"), st.integers(-2, 2)),
    st.builds(Op, st.just("increment"), st.just("total"), st.sampled_from([1, 0.5])),
    st.builds(Op, st.just("merge"), st.just(""), _good_fields),
    st.builds(Op, st.just("put_record"), st.just("by_key"), st.integers(0, 2), _keys),
    st.builds(Op, st.just("append"), st.just("names"), st.lists(_keys, max_size=2).map(tuple)),
    st.builds(Op, st.just("delete_record"), st.just("by_key"), st.none(), _keys),
    st.builds(Op, st.just("remove"), _names),
    st.builds(Op, st.just("set"), st.just(""), _good_fields),
)
_any_ops = st.one_of(
    st.builds(Op, st.just("increment"), _names, _deltas),
    st.builds(Op, st.just("merge"), st.just(""), _fields),
    st.builds(Op, st.just("put_record"), _names, _values, _keys),
    st.builds(Op, st.just("append"), _names, st.just(("x",))),
    st.builds(Op, st.just("delete_record"), _names, st.none(), _keys),
    st.builds(Op, st.just("set"), st.just(""), _fields),
    st.builds(Op, st.just("set"), _any_name, _values),
)
_ops = _weighted((9, _good_ops), (1, _any_ops))
_conditions: st.SearchStrategy[Mapping[str, Any]] = _weighted(
    (7, st.just({})),
    (2, st.builds(dict, version=st.sampled_from([CURRENT, CURRENT, CURRENT, 0, 1, 2]))),
    (1, st.builds(dict, exists=st.booleans())),
)


@st.composite
def _mutations(draw: st.DrawFn) -> Mutation:
    condition = draw(_conditions)
    ops = draw(st.lists(_ops, min_size=0 if condition else 1, max_size=3))
    return Mutation(draw(st.sampled_from(SCOPES)), tuple(ops), **condition)


_commits = st.builds(
    Commit,
    st.lists(_mutations(), min_size=1, max_size=3, unique_by=lambda mutation: mutation.scope).map(tuple),
    st.sampled_from(["", "", "key 1", "key 2"]),
)
_reads = st.builds(Read, st.lists(st.sampled_from(SCOPES), min_size=1, max_size=4, unique=True).map(tuple))
_bumps = st.builds(
    Bump,
    st.sampled_from(SESSIONS),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["", "request 1", "request 2"]),
)
_commands: st.SearchStrategy[Command] = _weighted((7, _commits), (2, _bumps), (1, _reads))


@st.composite
def programs(draw: st.DrawFn) -> list[list[Command]]:
    """Bursts of commands: those of one burst are performed at once. Commands come again, as repeats do."""
    pool = draw(st.lists(_commands, min_size=3, max_size=12))
    again = st.sampled_from(pool)
    return draw(st.lists(st.lists(again, min_size=1, max_size=4), min_size=2, max_size=8))


class Place:
    """Where a program runs: sessions, a user and keys that no other program uses, so that one server serves all."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def prepare(self, stubs: Stubs) -> None:
        for session in SESSIONS:
            made = Session(session_id=self._own(session), flow_kind=KIND, user_id=self._own("user"))
            await stubs.sessions.CreateSession(CreateSessionRequest(session=made))

    async def perform(self, stubs: Stubs, command: Command) -> Outcome:
        try:
            match command:
                case Read():
                    return await self._read(stubs, command)
                case Commit():
                    return await self._commit(stubs, command)
                case Bump():
                    return await self._bump(stubs, command)
        except aio.AioRpcError as error:
            return "refused", read_refusal(error).reason.value

    async def _read(self, stubs: Stubs, read: Read) -> Outcome:
        request = GetStateRequest(scopes=[self._scope(name) for name in read.scopes])
        answer = await stubs.states.GetState(request, metadata=TRUSTED)
        return "read", tuple(
            (record.meta.version, _shown(record.state.json) if record.exists else {})
            for record in answer.records
        )

    async def _commit(self, stubs: Stubs, commit: Commit) -> Outcome:
        mutations = [self._mutation(mutation) for mutation in commit.mutations]
        key = self._own(commit.key) if commit.key else ""
        answer = await stubs.commit(*mutations, key=key)
        return "done", answer.replayed, tuple(outcome(answer))

    async def _bump(self, stubs: Stubs, bump: Bump) -> Outcome:
        spec = ActionSpec(
            flow_kind=KIND,
            action="bump",
            input=_json({"by": bump.by, "scope": "user" if bump.of_user else "session"}),
            session_id=self._own(bump.session),
            user_id=self._own("user"),
            request_id=self._own(bump.request_id) if bump.request_id else "",
        )
        answer = await stubs.flows.CallAction(CallActionRequest(spec=spec), timeout=20.0)
        assert answer.done, answer
        ended = answer.action_request
        if ended.HasField("failure"):
            return "failed", ended.failure.reason
        assert ended.output.json, answer  # whatever ended it otherwise is told
        return "returned", orjson.loads(ended.output.json)

    def _own(self, name: str) -> str:
        return f"{name} of {self._name}"

    def _scope(self, name: str) -> ScopeRef:
        if name in SESSIONS:
            return ScopeRef(session_id=self._own(name))
        return ScopeRef(
            user_id=self._own("user"), flow_kind="private" if name.startswith("private") else KIND
        )

    def _mutation(self, mutation: Mutation) -> StateMutation:
        message = StateMutation(scope=self._scope(mutation.scope), ops=[_op(op) for op in mutation.ops])
        if mutation.version is not None:
            message.precondition.CopyFrom(Precondition(version=mutation.version))
        if mutation.exists is not None:
            message.precondition.CopyFrom(Precondition(exists=mutation.exists))
        return message


def _op(op: Op) -> StateOp:
    path = f"/{op.field}" if op.field else ""
    match op.verb:
        case "set":
            return StateOp(path=path, set=_json(op.value))
        case "merge":
            return StateOp(path=path, merge=MergeOp(value=_json(op.value)))
        case "increment" if isinstance(op.value, int):
            return StateOp(path=path, increment=IncrementOp(by_int=op.value))
        case "increment":
            return StateOp(path=path, increment=IncrementOp(by_double=op.value))
        case "append":
            return StateOp(path=path, append=AppendOp(items=[_json(item) for item in op.value]))
        case "put_record":
            return StateOp(path=path, put_record=PutRecordOp(key=op.key, value=_json(op.value)))
        case "delete_record":
            return StateOp(path=path, delete_record=DeleteRecordOp(key=op.key))
        case _:
            return StateOp(path=path, remove=RemoveOp())


def _json(value: Any) -> Value:
    return Value(json=orjson.dumps(value).decode())


def _shown(text: str) -> Mapping[str, Any]:
    return written_fields(cast("dict[str, Any]", orjson.loads(text)))
