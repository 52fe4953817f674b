"""Several writes as one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self

from flowstate.v1 import state_service_pb2, types_pb2
from flowstate_client.arguments import number, scope_ref
from flowstate_client.codec import Codec
from flowstate_client.field_types import FieldTypes, field_types
from flowstate_client.models import StateWrite
from flowstate_client.state_verbs import StateOp, StateT_co, StateVerbs, pointer

_UNSET: Any = object()


class Versioned(Protocol):
    """A record that was read, or what a write has left."""

    @property
    def version(self) -> int: ...

    @property
    def incarnation(self) -> str: ...


Seen = int | Versioned

Commit = Callable[[Sequence[state_service_pb2.StateMutation]], Awaitable[Sequence[StateWrite]]]


class BatchScope(StateVerbs[None, StateT_co], Generic[StateT_co]):
    """One record's part of a batch: collects operations; ``result`` is there when the batch has been committed."""

    def __init__(
        self,
        codec: Codec,
        scope: types_pb2.ScopeRef,
        precondition: types_pb2.Precondition | None,
        types: FieldTypes | None,
        resource: str = "",
    ) -> None:
        self._codec = codec
        self._types = types
        self.mutation = state_service_pb2.StateMutation(
            scope=scope, precondition=precondition, resource=resource
        )
        self.result: StateWrite | None = None

    def write_by(self, types: FieldTypes | None) -> None:
        """Write fields by these types from here on."""
        self._types = types

    def at(self, seen: Seen, /) -> Self:
        """The whole batch is written only if the record is as it was seen, see ``ScopeHandle.at``."""
        self.mutation.precondition.CopyFrom(as_seen(seen))
        return self

    def if_exists(self, exists: bool = True, /) -> Self:
        """The whole batch is written only if the record exists, or does not."""
        self.mutation.precondition.exists = exists
        return self

    def test_state(self, *path: str, equals: Any = _UNSET, exists: bool | None = None) -> Self:
        """The whole batch is written only if, when its turn comes among the operations, the place is as expected:
        ``batch.test_state("by_id", "doc-1", equals=1).patch_state(...)``.

        Args:
            path: The keys that lead there.
            equals: What it must be as JSON; a field that was never written is its default.
            exists: Whether something must be stored there, be it ``None``, or nothing.

        Raises:
            ValueError: not just one of ``equals`` and ``exists`` is given, or ``equals`` is not JSON.

        When the batch is committed: ``PreconditionError`` with the reason ``STATE_TEST_FAILED`` and the ``path`` in its
        metadata.
        """
        place = "".join(map(pointer, path))
        if (equals is _UNSET) == (exists is None):
            raise ValueError("a test has either equals= or exists=")
        if exists is not None:
            self._submit([StateOp(path=place, test=state_service_pb2.TestOp(exists=exists))])
            return self
        if len(path) == 1:
            equals = self._typed(place, equals, FieldTypes.value, path[0])
        test = state_service_pb2.TestOp(equals=self._value(equals, place))
        self._submit([StateOp(path=place, test=test)])
        return self

    def _submit(self, ops: Iterable[StateOp]) -> None:
        self.mutation.ops.extend(ops)


class ScopeBatch(BatchScope[StateT_co], Generic[StateT_co]):
    """A batch on one record::

    async with scope.batch() as batch:
        batch.inc_state(count=1)
        batch.push_state("log", entry)
    print(batch.result.version)

    Committed as one version when the block ends, or not at all if it raises. Raises what the operations raise.
    """

    def __init__(
        self,
        codec: Codec,
        scope: types_pb2.ScopeRef,
        precondition: types_pb2.Precondition | None,
        commit: Commit,
        types: FieldTypes | None,
        resource: str = "",
    ) -> None:
        super().__init__(codec, scope, precondition, types, resource)
        self._commit = commit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self.mutation.ops or self.mutation.HasField("precondition")):
            (self.result,) = await self._commit([self.mutation])


def as_seen(seen: Seen) -> types_pb2.Precondition:
    """The condition that a record is still as it was seen. One that did not exist has no incarnation.

    Raises:
        TypeError: it is neither a version nor something that was read or written.
    """
    if isinstance(seen, int):
        return types_pb2.Precondition(version=number(seen, "the version", most=2**63 - 1))
    if not isinstance(getattr(seen, "version", None), int) or not hasattr(seen, "incarnation"):
        given = type(seen).__name__
        raise TypeError(f"at takes a version or what was read or written, such as a StateRecord, not {given}")
    exists = getattr(seen, "exists", True)
    return types_pb2.Precondition(version=seen.version, incarnation=seen.incarnation if exists else "")


class BatchedRecords:
    """The records of a batch over several: their parts of it, by name."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._scopes: dict[tuple[bytes, str], BatchScope[Any]] = {}

    def session(
        self,
        session_id: str,
        *,
        flow_kind: str = "",
        resource: str = "",
        model: type[StateT_co] | None = None,
    ) -> BatchScope[StateT_co]:
        """The state of a session, or of one of its resources. ``model`` types what is written from here on, as that of
        ``States.session``."""
        return self.scope(scope_ref(session_id=session_id, flow_kind=flow_kind), model, resource)

    def user(
        self,
        user_id: str,
        *,
        flow_kind: str = "",
        isolated: bool = False,
        resource: str = "",
        model: type[StateT_co] | None = None,
    ) -> BatchScope[StateT_co]:
        """The record of a user, or the state of one of its resources."""
        ref = scope_ref(user_id=user_id, flow_kind=flow_kind, isolated=isolated)
        return self.scope(ref, model, resource)

    def org(
        self,
        org_id: str,
        *,
        flow_kind: str = "",
        isolated: bool = False,
        resource: str = "",
        model: type[StateT_co] | None = None,
    ) -> BatchScope[StateT_co]:
        """The record of an org, or the state of one of its resources."""
        ref = scope_ref(org_id=org_id, flow_kind=flow_kind, isolated=isolated)
        return self.scope(ref, model, resource)

    def request(self, request_id: str, *, model: type[StateT_co] | None = None) -> BatchScope[StateT_co]:
        """The state of a running request."""
        return self.scope(scope_ref(request_id=request_id), model)

    def scope(self, scope: types_pb2.ScopeRef, model: Any = None, resource: str = "") -> BatchScope[Any]:
        """A record by its reference; the same record gives the same part of the batch."""
        key = (scope.SerializeToString(deterministic=True), resource)
        if key not in self._scopes:
            self._scopes[key] = BatchScope(self._codec, scope, None, None, resource)
        if model is not None:
            self._scopes[key].write_by(field_types(model))
        return self._scopes[key]

    def _written(self) -> Sequence[BatchScope[Any]]:
        return [
            part
            for part in self._scopes.values()
            if part.mutation.ops or part.mutation.HasField("precondition")
        ]


class StateBatch(BatchedRecords):
    """A batch over several records, all or nothing::

        async with client.state.batch() as batch:
            batch.session(session_id).patch_state(mode="agent")
            account = batch.user("u1", flow_kind="billing").at(record)
            account.inc_state(credits=-1)
        print(account.result.version)

    Committed when the block ends, or not at all if it raises. At most 16 records and 100 operations. How records are
    named: see ``States``; ``resource="artifact"`` names a resource of the owner, whose state is then meant.
    """

    def __init__(self, codec: Codec, commit: Commit) -> None:
        super().__init__(codec)
        self._commit = commit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        parts = self._written()
        if kind is None and parts:
            for part, write in zip(parts, await self._commit([part.mutation for part in parts]), strict=True):
                part.result = write
