"""State documents, read and written directly. Trusted plane only."""

# Written by .ci/codegen/sync_client.py from flowstate_client/state.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import state as asynchronous
from flowstate_client.models import StateWrite
from flowstate_client.state import _OF_THE_HANDLE, StateRecord
from flowstate_client.state_batch import Seen
from flowstate_client.state_verbs import StateOp, StateT_co, StateVerbs
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.state_batch import ScopeBatch, StateBatch

T = TypeVar("T")


class ScopeHandle(StateVerbs[StateWrite, StateT_co], Generic[StateT_co]):
    """One record. Making a handle costs no round trip; each operation is one commit::

        session = client.state.session(session_id)
        session.patch_state(mode="agent")
        session.inc_state({"message_count": 1})
        session.at(7).set_state({"mode": "chat"})      # only if the record is at version 7

    ``model`` is what ``get`` and ``atomic_state`` read the state as, by whose types fields are written, and what type
    checkers look fields up in.

    A write is repeated by itself, with the same idempotency key, while the server is away. For a key of your own make
    it a batch: ``with session.batch(idempotency_key=...) as batch``. Operations raise:
        SchemaViolation: the state would not fit the flow's schema. Nothing is written, as in all other cases.
        StateTypeConflict: the stored value has a type that the operation cannot work on.
        VersionMismatch: the condition of ``at`` or ``if_exists`` does not hold; never repeated.
        RequestTerminal: the request of ``on_behalf_of`` has ended.
        TooLarge, SessionNotFound, FlowNotFound, PermissionDenied, Unavailable.
    """

    def __init__(self, thread: LoopThread, scope_handle: asynchronous.ScopeHandle[StateT_co]) -> None:
        self._thread = thread
        self._scope_handle = scope_handle
        self._codec = scope_handle._codec
        self._types = scope_handle._types

    def at(self, seen: Seen, /) -> ScopeHandle[StateT_co]:
        """The same operations, on the condition that the record is as it was seen: as ``get`` has read it or a write
        has left it. Of those its incarnation has to be the same, too: what was deleted and made anew meanwhile is not
        met. A version alone will do as well; 0: never written.
        """
        return ScopeHandle(self._thread, self._scope_handle.at(seen))

    def if_exists(self, exists: bool = True, /) -> ScopeHandle[StateT_co]:
        """The same operations, on the condition that the record exists, or does not."""
        return ScopeHandle(self._thread, self._scope_handle.if_exists(exists))

    def on_behalf_of(self, request_id: str, /) -> ScopeHandle[StateT_co]:
        """The same operations, with the change in the log of this running request."""
        return ScopeHandle(self._thread, self._scope_handle.on_behalf_of(request_id))

    @overload
    def get(self, *, paths: Sequence[str] = ...) -> StateRecord[StateT_co]: ...
    @overload
    def get(  # pyright: ignore[reportOverlappingOverload]
        self, *, model: TypeForm[T], paths: Sequence[str] = ...
    ) -> StateRecord[T]: ...
    # As of RunHandle.result.
    @overload
    def get(  # type: ignore[overload-cannot-match]
        self, *, model: TypeForm[object], paths: Sequence[str] = ...
    ) -> StateRecord[object]: ...
    @overload
    def get(self, *, model: Any, paths: Sequence[str] = ...) -> StateRecord[Any]: ...
    def get(self, *, model: Any = _OF_THE_HANDLE, paths: Sequence[str] = ()) -> StateRecord[Any]:
        """The newest record, read as ``model``, by default the handle's.

        ``paths`` (JSON Pointers such as ``/by_id/doc-1``, at most 100) reduces it to what lies there.
        """
        return self._thread.run(self._scope_handle.get(model=model, paths=paths))

    def delete(self, *, allow_missing: bool = False, idempotency_key: str | None = None) -> None:
        """Delete the record of a user or org, on the condition of ``at`` or ``if_exists``.

        Its version goes on in what is made anew by a later write; requests that are running get ``SCOPE_UNAVAILABLE``
        for it. ``allow_missing``: one that does not exist is fine. Repeated by itself like a write. Raises:
            VersionMismatch: the condition does not hold, or there is none to delete.
            ValidationFailed: it is the record of a session or a request.
        """
        self._thread.run(
            self._scope_handle.delete(allow_missing=allow_missing, idempotency_key=idempotency_key)
        )

    def batch(
        self, *, idempotency_key: str | None = None, validate_only: bool = False
    ) -> ScopeBatch[StateT_co]:
        """Collect operations in ``with`` and commit them as one version.

        The arguments are as in ``States.batch``.
        """
        return ScopeBatch(
            self._thread,
            self._scope_handle.batch(idempotency_key=idempotency_key, validate_only=validate_only),
        )

    @overload
    def atomic_state(self, change: Callable[[StateT_co], Mapping[str, Any] | None], /) -> StateWrite: ...
    @overload
    def atomic_state(
        self, change: Callable[[T], Mapping[str, Any] | None], /, *, model: type[T]
    ) -> StateWrite: ...
    @overload
    def atomic_state(
        self, change: Callable[[Any], Mapping[str, Any] | None], /, *, model: Any
    ) -> StateWrite: ...
    def atomic_state(
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
        return self._thread.run(self._scope_handle.atomic_state(change, model=model))

    def _submit(self, ops: Iterable[StateOp]) -> StateWrite:
        return self._thread.run(self._scope_handle._submit(ops))


class States:
    """``client.state``: handles of records, and batches over several of them.

    ``flow_kind`` says through whose eyes a user or org record is addressed: a flow that isolates the scope means its
    private record, any other the shared one, and its schema judges what is written. Without it the shared record is
    meant, as all flows that share it declare it together. ``isolated=True`` means the private record of ``flow_kind``
    whether or not that isolates the scope at present. Sessions and requests have their flow.

    ``model``, a pydantic model, types the handle: see ``ScopeHandle``.
    """

    def __init__(self, thread: LoopThread, states: asynchronous.States) -> None:
        self._thread = thread
        self._states = states

    def session(
        self, session_id: str, *, flow_kind: str | None = None, model: type[StateT_co] | None = None
    ) -> ScopeHandle[StateT_co]:
        """The state of a session."""
        return ScopeHandle(self._thread, self._states.session(session_id, flow_kind=flow_kind, model=model))

    def user(
        self,
        user_id: str,
        *,
        flow_kind: str | None = None,
        isolated: bool = False,
        model: type[StateT_co] | None = None,
    ) -> ScopeHandle[StateT_co]:
        """The record of a user."""
        return ScopeHandle(
            self._thread, self._states.user(user_id, flow_kind=flow_kind, isolated=isolated, model=model)
        )

    def org(
        self,
        org_id: str,
        *,
        flow_kind: str | None = None,
        isolated: bool = False,
        model: type[StateT_co] | None = None,
    ) -> ScopeHandle[StateT_co]:
        """The record of an org."""
        return ScopeHandle(
            self._thread, self._states.org(org_id, flow_kind=flow_kind, isolated=isolated, model=model)
        )

    def request(self, request_id: str, *, model: type[StateT_co] | None = None) -> ScopeHandle[StateT_co]:
        """The state of a running request."""
        return ScopeHandle(self._thread, self._states.request(request_id, model=model))

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
        return StateBatch(
            self._thread,
            self._states.batch(
                request_id=request_id, idempotency_key=idempotency_key, validate_only=validate_only
            ),
        )
