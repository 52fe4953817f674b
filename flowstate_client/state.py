"""State documents, read and written directly. Trusted plane only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar, cast, overload
from weakref import WeakValueDictionary

from typing_extensions import TypeForm

from flowstate.v1 import state_service_pb2, state_service_pb2_grpc, types_pb2
from flowstate_client.arguments import identifier, optional_id, pointers, scope_ref
from flowstate_client.calls import Caller
from flowstate_client.codec import Codec
from flowstate_client.errors import ProtocolError
from flowstate_client.field_types import field_types
from flowstate_client.ids import idempotency_key_of
from flowstate_client.models import StateWrite, plain_time
from flowstate_client.state_batch import ScopeBatch, Seen, StateBatch, as_seen
from flowstate_client.state_swap import swap
from flowstate_client.state_verbs import StateOp, StateT_co, StateVerbs

T = TypeVar("T")

_OF_THE_HANDLE: Any = object()

# Characters of a state in a repr: two lines of a terminal; the state itself may have a mebibyte.
_MOST_SHOWN = 200


class StateRecord(Generic[T]):
    """A record as it was read. Its ``repr`` shows the beginning of the state.

    Attributes:
        exists: Whether it exists. A record never written and one that was deleted do not.
        version: Each committed write adds 1; 0 if never written.
        incarnation: Which making of the record this is: another one each time it is made anew after it was deleted.
        raw: The document as JSON text. The defaults of what governs it (the flow of the session or request,
            ``flow_kind``, else all flows that share the record) show for fields never written, also if the record does
            not exist.
        schema_hash: Fingerprint of the schema that governs it; empty without one.
        create_time, update_time: When it was made and last written, in UTC.
    """

    def __init__(self, record: state_service_pb2.StateRecord, model: Any, codec: Codec) -> None:
        self.exists = record.exists
        self.version = record.meta.version
        self.incarnation = record.meta.incarnation
        self.raw = (record.state.json or "{}").encode()
        self.schema_hash = record.schema_hash
        self.create_time: datetime | None = plain_time(record.meta, "create_time")
        self.update_time: datetime | None = plain_time(record.meta, "update_time")
        self._model = model
        self._codec = codec

    def __repr__(self) -> str:
        # From the text: the state need not fit the model. Four bytes are the most that a character takes.
        state = self.raw[: 4 * _MOST_SHOWN + 4].decode(errors="ignore")
        if len(state) > _MOST_SHOWN:
            state = f"{state[: _MOST_SHOWN - 1]}…"
        return f"StateRecord(exists={self.exists}, version={self.version}, state={state})"

    @cached_property
    def state(self) -> T:
        """The document as the model, defaults filled in by it. A record that does not exist reads as its defaults.

        Raises:
            ResponseValidationError: the document does not fit, for example a required field was never written.
        """
        return cast(T, self._codec.decode(self.raw, self._model))


class ScopeHandle(StateVerbs[Coroutine[Any, Any, StateWrite], StateT_co], Generic[StateT_co]):
    """One record. Making a handle costs no round trip; each operation is one commit::

        session = client.state.session(session_id)
        await session.patch_state(mode="agent")
        await session.inc_state({"message_count": 1})
        await session.at(7).set_state({"mode": "chat"})      # only if the record is at version 7

    ``model`` is what ``get`` and ``atomic_state`` read the state as, by whose types fields are written, and what type
    checkers look fields up in.

    A write is repeated by itself, with the same idempotency key, while the server is away. For a key of your own make
    it a batch: ``async with session.batch(idempotency_key=...) as batch``. Operations raise:
        SchemaViolation: the state would not fit the flow's schema. Nothing is written, as in all other cases.
        StateTypeConflict: the stored value has a type that the operation cannot work on.
        VersionMismatch: the condition of ``at`` or ``if_exists`` does not hold; never repeated.
        RequestTerminal: the request of ``on_behalf_of`` has ended.
        TooLarge, SessionNotFound, FlowNotFound, PermissionDenied, Unavailable.
    """

    def __init__(
        self,
        states: States,
        scope: types_pb2.ScopeRef,
        *,
        model: Any = Any,
        precondition: types_pb2.Precondition | None = None,
        request_id: str = "",
    ) -> None:
        self._states = states
        self._model = model
        self._scope = scope
        self._precondition = precondition
        self._request_id = request_id
        self._codec = states.codec
        self._types = field_types(model)

    def at(self, seen: Seen, /) -> ScopeHandle[StateT_co]:
        """The same operations, on the condition that the record is as it was seen: as ``get`` has read it or a write
        has left it. Of those its incarnation has to be the same, too: what was deleted and made anew meanwhile is not
        met. A version alone will do as well; 0: never written."""
        return self._with(as_seen(seen))

    def if_exists(self, exists: bool = True, /) -> ScopeHandle[StateT_co]:
        """The same operations, on the condition that the record exists, or does not."""
        return self._with(types_pb2.Precondition(exists=exists))

    def on_behalf_of(self, request_id: str, /) -> ScopeHandle[StateT_co]:
        """The same operations, with the change in the log of this running request."""
        return self._with(self._precondition, identifier(request_id, "request_id"))

    @overload
    async def get(self, *, paths: Sequence[str] = ...) -> StateRecord[StateT_co]: ...
    @overload
    async def get(  # pyright: ignore[reportOverlappingOverload]
        self, *, model: TypeForm[T], paths: Sequence[str] = ...
    ) -> StateRecord[T]: ...
    # As of RunHandle.result.
    @overload
    async def get(  # type: ignore[overload-cannot-match]
        self, *, model: TypeForm[object], paths: Sequence[str] = ...
    ) -> StateRecord[object]: ...
    @overload
    async def get(self, *, model: Any, paths: Sequence[str] = ...) -> StateRecord[Any]: ...
    async def get(self, *, model: Any = _OF_THE_HANDLE, paths: Sequence[str] = ()) -> StateRecord[Any]:
        """The newest record, read as ``model``, by default the handle's.

        ``paths`` (JSON Pointers such as ``/by_id/doc-1``, at most 100) reduces it to what lies there.
        """
        request = state_service_pb2.GetStateRequest(scopes=[self._scope], paths=pointers(paths, "paths"))
        response = await self._states.caller.read(
            "StateService/GetState", self._states.stub.GetState, request
        )
        if len(response.records) != 1:
            raise ProtocolError(f"asked for one record, got {len(response.records)}")
        read_as = self._model if model is _OF_THE_HANDLE else model
        return StateRecord(response.records[0], read_as, self._codec)

    async def delete(self, *, allow_missing: bool = False, idempotency_key: str | None = None) -> None:
        """Delete the record of a user or org, on the condition of ``at`` or ``if_exists``.

        Its version goes on in what is made anew by a later write; requests that are running get ``SCOPE_UNAVAILABLE``
        for it. ``allow_missing``: one that does not exist is fine. Repeated by itself like a write. Raises:
            VersionMismatch: the condition does not hold, or there is none to delete.
            ValidationFailed: it is the record of a session or a request.
        """
        request = state_service_pb2.DeleteStateRequest(
            scope=self._scope,
            precondition=self._precondition,
            allow_missing=allow_missing,
            idempotency_key=idempotency_key_of(idempotency_key),
        )
        stub = self._states.stub
        await self._states.caller.write("StateService/DeleteState", stub.DeleteState, request)

    def batch(
        self, *, idempotency_key: str | None = None, validate_only: bool = False
    ) -> ScopeBatch[StateT_co]:
        """Collect operations in ``async with`` and commit them as one version.

        The arguments are as in ``States.batch``.
        """

        idempotency_key = idempotency_key_of(idempotency_key)

        async def commit(mutations: Sequence[state_service_pb2.StateMutation]) -> Sequence[StateWrite]:
            return await self._states.commit(mutations, self._request_id, idempotency_key, validate_only)

        return ScopeBatch(self._codec, self._scope, self._precondition, commit, self._types)

    @overload
    async def atomic_state(
        self, change: Callable[[StateT_co], Mapping[str, Any] | None], /
    ) -> StateWrite: ...
    @overload
    async def atomic_state(
        self, change: Callable[[T], Mapping[str, Any] | None], /, *, model: type[T]
    ) -> StateWrite: ...
    @overload
    async def atomic_state(
        self, change: Callable[[Any], Mapping[str, Any] | None], /, *, model: Any
    ) -> StateWrite: ...
    async def atomic_state(
        self, change: Callable[[Any], Mapping[str, Any] | None], /, *, model: Any = _OF_THE_HANDLE
    ) -> StateWrite:
        """Read, compute, compare-and-swap: ``change(state)`` returns the fields to merge, or nothing for no change.

        ``change`` must be pure: it runs again on the fresh state when another writer was first. Contenders of one
        client take turns, so they do not make each other repeat.

        Raises:
            ConcurrentModificationError: ``ClientConfig.cas_attempts`` attempts were lost.
            ResponseValidationError: the state does not fit ``model``.
            Exception: what the operations raise, and what ``change`` raises.
        """
        handle = self if model is _OF_THE_HANDLE else self._with(self._precondition, model=model)

        async def merge(record: StateRecord[Any], fields: Mapping[str, Any]) -> StateWrite:
            return await handle.at(record).patch_state(fields)

        async with self._states.turn(self._scope):
            return await swap(self._states.caller.config, handle.get, change, merge)

    async def _submit(self, ops: Iterable[StateOp]) -> StateWrite:
        mutation = state_service_pb2.StateMutation(
            scope=self._scope, precondition=self._precondition, ops=ops
        )
        (write,) = await self._states.commit([mutation], self._request_id)
        return write

    def _with(
        self,
        precondition: types_pb2.Precondition | None,
        request_id: str | None = None,
        model: Any = _OF_THE_HANDLE,
    ) -> ScopeHandle[StateT_co]:
        return ScopeHandle(
            self._states,
            self._scope,
            model=self._model if model is _OF_THE_HANDLE else model,
            precondition=precondition,
            request_id=self._request_id if request_id is None else request_id,
        )


class States:
    """``client.state``: handles of records, and batches over several of them.

    ``flow_kind`` says through whose eyes a user or org record is addressed: a flow that isolates the scope means its
    private record, any other the shared one, and its schema judges what is written. Without it the shared record is
    meant, as all flows that share it declare it together. ``isolated=True`` means the private record of ``flow_kind``
    whether or not that isolates the scope at present. Sessions and requests have their flow.

    ``model``, a pydantic model, types the handle: see ``ScopeHandle``.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.codec = caller.codec
        self.stub = state_service_pb2_grpc.StateServiceStub(caller.channels.unary)
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def session(
        self, session_id: str, *, flow_kind: str | None = None, model: type[StateT_co] | None = None
    ) -> ScopeHandle[StateT_co]:
        """The state of a session."""
        return self._handle(scope_ref(session_id=session_id, flow_kind=flow_kind), model)

    def user(
        self,
        user_id: str,
        *,
        flow_kind: str | None = None,
        isolated: bool = False,
        model: type[StateT_co] | None = None,
    ) -> ScopeHandle[StateT_co]:
        """The record of a user."""
        ref = scope_ref(user_id=user_id, flow_kind=flow_kind, isolated=isolated)
        return self._handle(ref, model)

    def org(
        self,
        org_id: str,
        *,
        flow_kind: str | None = None,
        isolated: bool = False,
        model: type[StateT_co] | None = None,
    ) -> ScopeHandle[StateT_co]:
        """The record of an org."""
        ref = scope_ref(org_id=org_id, flow_kind=flow_kind, isolated=isolated)
        return self._handle(ref, model)

    def request(self, request_id: str, *, model: type[StateT_co] | None = None) -> ScopeHandle[StateT_co]:
        """The state of a running request."""
        return self._handle(scope_ref(request_id=request_id), model)

    def _handle(self, ref: types_pb2.ScopeRef, model: type[StateT_co] | None) -> ScopeHandle[StateT_co]:
        return ScopeHandle(self, ref, model=Any if model is None else model)

    def batch(
        self,
        *,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        validate_only: bool = False,
    ) -> StateBatch:
        """Writes to several records, all or nothing.

        Args:
            request_id: On whose behalf, so that they land in its log.
            idempotency_key: Your own, 1 to 128 bytes, for a job that may be restarted: the same batch with the same
                key is written once within 24 hours, by whatever process, and gives the versions of the first time.
                With other content it is ``IdempotencyKeyReused``. By default each batch has a new one.
            validate_only: Write nothing: raise what the batch would raise, and give the results that it would give.
        """

        idempotency_key = idempotency_key_of(idempotency_key)
        on_behalf_of = optional_id(request_id, "request_id")

        async def commit(mutations: Sequence[state_service_pb2.StateMutation]) -> Sequence[StateWrite]:
            return await self.commit(mutations, on_behalf_of, idempotency_key, validate_only)

        return StateBatch(self.codec, commit)

    async def commit(
        self,
        mutations: Sequence[state_service_pb2.StateMutation],
        request_id: str,
        idempotency_key: str | None = None,
        validate_only: bool = False,
    ) -> Sequence[StateWrite]:
        """One commit, repeated with one idempotency key as often as needed."""
        request = state_service_pb2.CommitStateRequest(
            mutations=mutations,
            idempotency_key=idempotency_key_of(idempotency_key),
            request_id=request_id,
            validate_only=validate_only,
        )
        response = await self.caller.write("StateService/CommitState", self.stub.CommitState, request)
        if len(response.records) != len(mutations):
            raise ProtocolError(f"wrote {len(mutations)} records, got {len(response.records)} versions")
        return [
            StateWrite(record.meta.version, record.changed, record.meta.incarnation)
            for record in response.records
        ]

    def turn(self, scope: types_pb2.ScopeRef, resource: str = "") -> asyncio.Lock:
        """The lock of a record among the tasks of this client, forgotten when nobody waits."""
        key = scope.SerializeToString(deterministic=True) + resource.encode()
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        return lock
