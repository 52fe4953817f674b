"""Resources of sessions, users and orgs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from flowstate.v1 import resource_service_pb2, resource_service_pb2_grpc, types_pb2
from flowstate_client.arguments import bounded, number, scope_ref
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.resource_handle import MAX_NAME_BYTES, ResourceHandle, ResourceView, view_number
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.state import States

T = TypeVar("T")


class OwnedResources:
    """The resources of one owner: ``client.resources.session(id)["artifact"]`` is one of them."""

    def __init__(
        self, states: States, stub: resource_service_pb2_grpc.ResourceServiceStub, scope: types_pb2.ScopeRef
    ) -> None:
        self._states = states
        self._stub = stub
        self._scope = scope

    def __getitem__(self, name: str) -> ResourceHandle[Any]:
        return ResourceHandle(self._states, self._stub, self._scope, name)

    @overload
    def named(self, name: str) -> ResourceHandle[Any]: ...
    @overload
    def named(self, name: str, *, model: type[T]) -> ResourceHandle[T]: ...
    def named(self, name: str, *, model: Any = Any) -> ResourceHandle[Any]:
        """The resource, typed by the pydantic model of its state, as handles of ``client.state`` are."""
        return ResourceHandle(self._states, self._stub, self._scope, name, model=model)

    @overload
    def list(
        self,
        prefix: str = ...,
        *,
        view: ResourceView | None = ...,
        page_size: int = ...,
        page_token: str = ...,
    ) -> AsyncPager[ResourceRecord[Any]]: ...
    @overload
    def list(
        self,
        prefix: str = ...,
        *,
        model: type[T],
        view: ResourceView | None = ...,
        page_size: int = ...,
        page_token: str = ...,
    ) -> AsyncPager[ResourceRecord[T]]: ...
    def list(
        self,
        prefix: str = "",
        *,
        model: Any = Any,
        view: ResourceView | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> AsyncPager[ResourceRecord[Any]]:
        """Those whose names begin with ``prefix``, by name, without their content.

        Args:
            model: what their states are read as.
            view: how much of them to see.
            page_size: 0: the server's 50; at most 500.
        """
        bounded(prefix, "prefix", MAX_NAME_BYTES)
        number(page_size, "page_size")

        async def fetch(token: str) -> Page[ResourceRecord[Any]]:
            request = resource_service_pb2.ListResourcesRequest(
                scope=self._scope,
                name_prefix=prefix,
                page_size=page_size,
                page_token=token,
                view=view_number(view),
            )
            method = "ResourceService/ListResources"
            response = await self._states.caller.read(method, self._stub.ListResources, request)
            codec = self._states.codec
            records: Sequence[ResourceRecord[Any]] = [
                ResourceRecord(one, model, codec) for one in response.resources
            ]
            return Page(records, response.next_page_token)

        return AsyncPager(fetch, page_token=page_token)


class Resources:
    """``client.resources``: the resources of sessions, users and orgs, by owner.

    ``flow_kind`` says whose resources of a user or an org are meant, and by which flow's declaration they are written,
    as for ``client.state``; so does ``isolated``.
    """

    def __init__(self, states: States) -> None:
        self._states = states
        self._stub = resource_service_pb2_grpc.ResourceServiceStub(states.caller.channels.unary)

    def session(self, session_id: str, *, flow_kind: str = "") -> OwnedResources:
        """The resources of a session."""
        return self._of(scope_ref(session_id=session_id, flow_kind=flow_kind))

    def user(self, user_id: str, *, flow_kind: str = "", isolated: bool = False) -> OwnedResources:
        """The resources of a user."""
        return self._of(scope_ref(user_id=user_id, flow_kind=flow_kind, isolated=isolated))

    def org(self, org_id: str, *, flow_kind: str = "", isolated: bool = False) -> OwnedResources:
        """The resources of an org."""
        return self._of(scope_ref(org_id=org_id, flow_kind=flow_kind, isolated=isolated))

    def _of(self, scope: types_pb2.ScopeRef) -> OwnedResources:
        return OwnedResources(self._states, self._stub, scope)
