"""Flows, and starting their actions."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final, TypeVar, overload

from typing_extensions import TypeForm

from flowstate.v1 import flow_service_pb2, flow_service_pb2_grpc, types_pb2
from flowstate_client.arguments import identifier, number, optional_id, seconds
from flowstate_client.calls import Caller
from flowstate_client.correlation import present_correlation_id
from flowstate_client.filters import event_filter, status_numbers
from flowstate_client.flow_info import FlowInfo
from flowstate_client.ids import new_request_id
from flowstate_client.models import RequestStatus, RunRecord
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.proof import proven_text
from flowstate_client.resuming import heartbeat
from flowstate_client.runs import ActionStream, RunHandle, output_of, wait_for_end

T = TypeVar("T")


class Unset(enum.Enum):
    """Stands for "not given" where ``None`` is a value of its own, JSON ``null``."""

    UNSET = enum.auto()


UNSET: Final = Unset.UNSET


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

    def __init__(self, caller: Caller, *, user: str = "", org: str = "") -> None:
        self._caller = caller
        self._user = user
        self._org = org
        self._stub = flow_service_pb2_grpc.FlowServiceStub(caller.channels.unary)

    async def dispatch(
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
        spec = self._spec(
            flow_kind=flow_kind,
            action=action,
            input=input,
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
            request_id=request_id,
            execution_timeout=execution_timeout,
        )
        response = await self._caller.write(
            "FlowService/DispatchAction",
            self._stub.DispatchAction,
            flow_service_pb2.DispatchActionRequest(spec=spec),
            timeout=timeout,
        )
        return RunHandle(
            self._caller,
            response.action_request.request_id,
            session_id=response.action_request.session_id,
            attached=response.attached,
            acknowledged=True,
        )

    async def validate(
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
        spec = self._spec(
            flow_kind=flow_kind,
            action=action,
            input=input,
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
            request_id=request_id,
            execution_timeout=execution_timeout,
        )
        if not request_id:
            spec.request_id = ""
        request = flow_service_pb2.DispatchActionRequest(spec=spec, validate_only=True)
        call = self._stub.DispatchAction
        response = await self._caller.write("FlowService/DispatchAction", call, request, timeout=timeout)
        return RunRecord.from_proto(response.action_request)

    @overload
    async def call(
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
    async def call(  # type: ignore[overload-cannot-match]
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
    async def call(
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
    async def call(
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
        spec = self._spec(
            flow_kind=flow_kind,
            action=action,
            input=input,
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
            request_id=request_id,
            execution_timeout=execution_timeout,
        )
        request = flow_service_pb2.CallActionRequest(spec=spec)
        correlation_id = present_correlation_id()

        async def wait(limit: float) -> flow_service_pb2.CallActionResponse:
            # The server answers a moment before the deadline of the call, or after its own limit.
            method = "FlowService/CallAction"
            return await self._caller.attempt(
                method, self._stub.CallAction, request, timeout=limit + 0.25, correlation_id=correlation_id
            )

        ended = await wait_for_end(self._caller, wait, spec.request_id, timeout)
        return output_of(self._caller, ended, output)

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
        spec = self._spec(
            flow_kind=flow_kind,
            action=action,
            input=input,
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
            request_id=request_id,
            execution_timeout=execution_timeout,
        )
        start = flow_service_pb2.StreamActionRequest(
            spec=spec,
            filter=event_filter(types, audience),
            heartbeat_interval=heartbeat(self._caller.config.heartbeat_interval),
            cancel_on_disconnect=cancel_on_disconnect,
        )
        self._caller.check_size(start)
        return ActionStream(self._caller, start, max_outage=max_outage)

    def handle(self, request_id: str) -> RunHandle:
        """The run with this id, without a round trip; whether it exists shows when the handle is used."""
        return RunHandle(self._caller, identifier(request_id, "request_id"))

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
    ) -> AsyncPager[RunRecord]:
        """Requests, newest first, those that the caller may see. Filters add up.

        Args:
            action: Only together with ``flow_kind``.
            statuses: Those with any of these.
            with_payloads: With ``input`` and ``output``, which are ``None`` otherwise.
            page_size: 0: the server's 50; at most 500.
        """
        template = flow_service_pb2.ListActionRequestsRequest(
            session_id=optional_id(session_id, "session_id"),
            flow_kind=optional_id(flow_kind, "flow_kind"),
            action=optional_id(action, "action"),
            user_id=optional_id(user_id, "user_id"),
            org_id=optional_id(org_id, "org_id"),
            statuses=status_numbers(statuses),
            with_payloads=with_payloads,
            page_size=number(page_size, "page_size"),
        )

        async def fetch(token: str) -> Page[RunRecord]:
            request = flow_service_pb2.ListActionRequestsRequest(page_token=token)
            request.MergeFrom(template)
            response = await self._caller.read(
                "FlowService/ListActionRequests", self._stub.ListActionRequests, request
            )
            records = [RunRecord.from_proto(one) for one in response.action_requests]
            return Page(records, response.next_page_token)

        return AsyncPager(fetch, page_token=page_token)

    def list(self, *, page_size: int = 0, page_token: str = "") -> AsyncPager[FlowInfo]:
        """The flows of the server, by kind."""
        number(page_size, "page_size")

        async def fetch(token: str) -> Page[FlowInfo]:
            request = flow_service_pb2.ListFlowsRequest(page_size=page_size, page_token=token)
            response = await self._caller.read("FlowService/ListFlows", self._stub.ListFlows, request)
            return Page([FlowInfo.from_proto(flow) for flow in response.flows], response.next_page_token)

        return AsyncPager(fetch, page_token=page_token)

    async def get(self, flow_kind: str) -> FlowInfo:
        """One flow.

        Raises:
            FlowNotFound: no such flow.
        """
        request = flow_service_pb2.GetFlowRequest(flow_kind=identifier(flow_kind, "flow_kind"))
        response = await self._caller.read("FlowService/GetFlow", self._stub.GetFlow, request)
        return FlowInfo.from_proto(response.flow)

    def _spec(
        self,
        *,
        flow_kind: str,
        action: str,
        input: Any,
        session_id: str | None,
        user_id: str | None,
        org_id: str | None,
        request_id: str | None,
        execution_timeout: float | None,
    ) -> flow_service_pb2.ActionSpec:
        spec = flow_service_pb2.ActionSpec(
            flow_kind=identifier(flow_kind, "flow_kind"),
            action=identifier(action, "action"),
            session_id=optional_id(session_id, "session_id"),
            user_id=optional_id(self._user if user_id is None else user_id, "user_id"),
            org_id=optional_id(self._org if org_id is None else org_id, "org_id"),
            request_id=optional_id(request_id, "request_id") or new_request_id(),
            execution_timeout=heartbeat(seconds(execution_timeout, "execution_timeout", positive=True)),
        )
        if input is not UNSET:
            spec.input.CopyFrom(types_pb2.Value(json=proven_text(input, self._caller.codec)))
        return spec
