"""Resources of sessions, users and orgs."""

# Written by .ci/codegen/sync_client.py from flowstate_client/resources.py: `make sync-client`.

from __future__ import annotations

from typing import Any, TypeVar, overload

from flowstate_client import resources as asynchronous
from flowstate_client.resource_handle import ResourceView
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.resource_handle import ResourceHandle

T = TypeVar("T")


class OwnedResources:
    """The resources of one owner: ``client.resources.session(id)["artifact"]`` is one of them."""

    def __init__(self, thread: LoopThread, owned_resources: asynchronous.OwnedResources) -> None:
        self._thread = thread
        self._owned_resources = owned_resources

    def __getitem__(self, name: str) -> ResourceHandle[Any]:
        return ResourceHandle(self._thread, self._owned_resources[name])

    @overload
    def named(self, name: str) -> ResourceHandle[Any]: ...
    @overload
    def named(self, name: str, *, model: type[T]) -> ResourceHandle[T]: ...
    def named(self, name: str, *, model: Any = Any) -> ResourceHandle[Any]:
        """The resource, typed by the pydantic model of its state, as handles of ``client.state`` are."""
        return ResourceHandle(self._thread, self._owned_resources.named(name, model=model))

    @overload
    def list(
        self,
        prefix: str = ...,
        *,
        view: ResourceView | None = ...,
        page_size: int = ...,
        page_token: str = ...,
    ) -> Pager[ResourceRecord[Any]]: ...
    @overload
    def list(
        self,
        prefix: str = ...,
        *,
        model: type[T],
        view: ResourceView | None = ...,
        page_size: int = ...,
        page_token: str = ...,
    ) -> Pager[ResourceRecord[T]]: ...
    def list(
        self,
        prefix: str = "",
        *,
        model: Any = Any,
        view: ResourceView | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pager[ResourceRecord[Any]]:
        """Those whose names begin with ``prefix``, by name, without their content.

        Args:
            model: what their states are read as.
            view: how much of them to see.
            page_size: 0: the server's 50; at most 500.
        """
        return Pager(
            self._thread,
            self._owned_resources.list(
                prefix, model=model, view=view, page_size=page_size, page_token=page_token
            ),
        )


class Resources:
    """``client.resources``: the resources of sessions, users and orgs, by owner.

    ``flow_kind`` says whose resources of a user or an org are meant, and by which flow's declaration they are written,
    as for ``client.state``; so does ``isolated``.
    """

    def __init__(self, thread: LoopThread, resources: asynchronous.Resources) -> None:
        self._thread = thread
        self._resources = resources

    def session(self, session_id: str, *, flow_kind: str = "") -> OwnedResources:
        """The resources of a session."""
        return OwnedResources(self._thread, self._resources.session(session_id, flow_kind=flow_kind))

    def user(self, user_id: str, *, flow_kind: str = "", isolated: bool = False) -> OwnedResources:
        """The resources of a user."""
        return OwnedResources(
            self._thread, self._resources.user(user_id, flow_kind=flow_kind, isolated=isolated)
        )

    def org(self, org_id: str, *, flow_kind: str = "", isolated: bool = False) -> OwnedResources:
        """The resources of an org."""
        return OwnedResources(
            self._thread, self._resources.org(org_id, flow_kind=flow_kind, isolated=isolated)
        )
