"""Flows, and starting their actions."""

# Written by .ci/codegen/sync_client.py from flowstate_client/flows.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import flows as asynchronous
from flowstate_client.flow_info import FlowInfo
from flowstate_client.flows import UNSET
from flowstate_client.models import RequestStatus, RunRecord
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.runs import ActionStream, RunHandle

T = TypeVar("T")


class Flows:
    """``client.flows``: what can be called, and calling it.

    ``dispatch``, ``call`` and ``stream`` take the same arguments:

    Args:
        flow_kind, action: What to call.
        input: A pydantic model, a dataclass, a TypedDict or plain JSON values; not given: ``{}``. Bytes need a model
            that declares them.
        session_id: The session to run in; an unknown id creates it, without one the run gets a session of its own.
        user_id: For whom; the client's ``user`` if not given.
        org_id: In which org; the client's ``org``, else the session's, if not given.
        request_id: Makes the call repeatable beyond this process: the same id with the same fields attaches to the
            first request. Made anew for each call if not given.
        execution_timeout: Longest time for the run, in seconds; ``None``: the action's own.

    They raise ``ValueError`` before anything is sent if the input is not JSON in FlowState's profile, and
    ``FlowNotFound``, ``ActionNotFound``, ``SessionNotFound``, ``ValidationFailed`` (the input does not fit the action),
    ``AlreadyExists`` (the request id was used otherwise), ``OrgBindingMismatch``, ``FlowBindingMismatch``,
    ``Unavailable``, ``DeadlineExceeded``.
    """

    def __init__(self, thread: LoopThread, flows: asynchronous.Flows) -> None:
        self._thread = thread
        self._flows = flows

    def dispatch(
        self,
        flow_kind: str,
        action: str,
        input: Any = UNSET,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        request_id: str | None = None,
        execution_timeout: float | None = None,
        timeout: float | None = None,
    ) -> RunHandle:
        """Starts an action; answers as soon as the request is stored. The run goes on whatever this process does."""
        return RunHandle(
            self._thread,
            self._thread.run(
                self._flows.dispatch(
                    flow_kind,
                    action,
                    input,
                    session_id=session_id,
                    user_id=user_id,
                    org_id=org_id,
                    request_id=request_id,
                    execution_timeout=execution_timeout,
                    timeout=timeout,
                )
            ),
        )

    def validate(
        self,
        flow_kind: str,
        action: str,
        input: Any = UNSET,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        request_id: str | None = None,
        execution_timeout: float | None = None,
        timeout: float | None = None,
    ) -> RunRecord:
        """What ``dispatch`` would store, or its error: everything is checked, nothing is stored or run.

        The record has the ids that were given, others are empty. A ``request_id`` that is known gives its request as it
        stands.
        """
        return self._thread.run(
            self._flows.validate(
                flow_kind,
                action,
                input,
                session_id=session_id,
                user_id=user_id,
                org_id=org_id,
                request_id=request_id,
                execution_timeout=execution_timeout,
                timeout=timeout,
            )
        )

    @overload
    def call(
        self,
        flow_kind: str,
        action: str,
        input: Any = ...,
        *,
        output: TypeForm[T],
        session_id: str | None = ...,
        user_id: str | None = ...,
        org_id: str | None = ...,
        request_id: str | None = ...,
        execution_timeout: float | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    # As of RunHandle.result.
    @overload
    def call(  # type: ignore[overload-cannot-match]
        self,
        flow_kind: str,
        action: str,
        input: Any = ...,
        *,
        output: TypeForm[object],
        session_id: str | None = ...,
        user_id: str | None = ...,
        org_id: str | None = ...,
        request_id: str | None = ...,
        execution_timeout: float | None = ...,
        timeout: float | None = ...,
    ) -> object: ...
    @overload
    def call(
        self,
        flow_kind: str,
        action: str,
        input: Any = ...,
        *,
        output: Any = ...,
        session_id: str | None = ...,
        user_id: str | None = ...,
        org_id: str | None = ...,
        request_id: str | None = ...,
        execution_timeout: float | None = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    def call(
        self,
        flow_kind: str,
        action: str,
        input: Any = UNSET,
        *,
        output: Any = Any,
        session_id: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        request_id: str | None = None,
        execution_timeout: float | None = None,
        timeout: float | None = None,
    ) -> Any:
        """An action as a function call: its output as ``output``, plain JSON values if no type is given.

        Waits ``timeout`` seconds, ``None``: as long as it takes. Giving up does not stop the run.

        Raises (besides the above):
            ActionFailed: the run failed, was aborted or interrupted.
            TimeoutError: it has not ended in time; it goes on.
            ConnectError, DeadlineExceeded: no server has answered in time; repeated with the same ``request_id`` it
                attaches to what may have begun.
            ResponseValidationError: the output does not fit ``output``.
        """
        return self._thread.run(
            self._flows.call(
                flow_kind,
                action,
                input,
                output=output,
                session_id=session_id,
                user_id=user_id,
                org_id=org_id,
                request_id=request_id,
                execution_timeout=execution_timeout,
                timeout=timeout,
            )
        )

    def stream(
        self,
        flow_kind: str,
        action: str,
        input: Any = UNSET,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        request_id: str | None = None,
        execution_timeout: float | None = None,
        cancel_on_disconnect: bool = False,
        types: Iterable[str] = (),
        audience: str | None = None,
        max_outage: float | None = None,
    ) -> ActionStream:
        """Starts an action and streams its events in one round trip; what breaks off is resumed.

        The action starts when the first event is asked for. With ``cancel_on_disconnect`` the run is cancelled when
        this stream breaks or is left; otherwise it goes on. ``types``, ``audience`` and ``max_outage`` as in
        ``run.events()``; ``stream.run`` is the handle.
        """
        return ActionStream(
            self._thread,
            self._flows.stream(
                flow_kind,
                action,
                input,
                session_id=session_id,
                user_id=user_id,
                org_id=org_id,
                request_id=request_id,
                execution_timeout=execution_timeout,
                cancel_on_disconnect=cancel_on_disconnect,
                types=types,
                audience=audience,
                max_outage=max_outage,
            ),
        )

    def handle(self, request_id: str) -> RunHandle:
        """The run with this id, without a round trip; whether it exists shows when the handle is used."""
        return RunHandle(self._thread, self._flows.handle(request_id))

    def requests(
        self,
        *,
        session_id: str = "",
        flow_kind: str = "",
        action: str = "",
        user_id: str = "",
        org_id: str = "",
        statuses: Iterable[RequestStatus | str] = (),
        with_payloads: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pager[RunRecord]:
        """Requests, newest first, those that the caller may see. Filters add up.

        Args:
            action: Only together with ``flow_kind``.
            statuses: Those with any of these.
            with_payloads: With ``input`` and ``output``, which are ``None`` otherwise.
            page_size: 0: the server's 50; at most 500.
        """
        return Pager(
            self._thread,
            self._flows.requests(
                session_id=session_id,
                flow_kind=flow_kind,
                action=action,
                user_id=user_id,
                org_id=org_id,
                statuses=statuses,
                with_payloads=with_payloads,
                page_size=page_size,
                page_token=page_token,
            ),
        )

    def list(self, *, page_size: int = 0, page_token: str = "") -> Pager[FlowInfo]:
        """The flows of the server, by kind."""
        return Pager(self._thread, self._flows.list(page_size=page_size, page_token=page_token))

    def get(self, flow_kind: str) -> FlowInfo:
        """One flow.

        Raises:
            FlowNotFound: no such flow.
        """
        return self._thread.run(self._flows.get(flow_kind))
