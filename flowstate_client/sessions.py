"""Sessions, and the view of state that their flow shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from flowstate.v1 import session_service_pb2, session_service_pb2_grpc
from flowstate_client.arguments import (
    bounded,
    identifier,
    labels,
    mapping,
    number,
    optional_id,
)
from flowstate_client.calls import Caller
from flowstate_client.event_pages import event_pages
from flowstate_client.events import Event
from flowstate_client.filters import event_filter
from flowstate_client.ids import idempotency_key_of
from flowstate_client.models import Cursor, Scope
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.session import Session
from flowstate_client.session_changes import MAX_DESCRIPTION_BYTES, MAX_TITLE_BYTES
from flowstate_client.session_items import SessionItems
from flowstate_client.snapshots import Snapshot, read_snapshot, selectors
from flowstate_client.stream import EventStream, cursor_of
from flowstate_client.watch import SnapshotWatch

T = TypeVar("T")


class Sessions(SessionItems):
    """``client.sessions``: conversations. To anyone but its user a session is ``SessionNotFound``."""

    def __init__(self, caller: Caller, *, user: str = "", org: str = "") -> None:
        self._caller = caller
        self._user = user
        self._org = org
        self._stub = session_service_pb2_grpc.SessionServiceStub(caller.channels.unary)

    async def create(
        self,
        flow_kind: str,
        *,
        user_id: str | None = None,
        org_id: str | None = None,
        session_id: str | None = None,
        title: str = "",
        description: str = "",
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Creates a session, exactly one however often the call has to be repeated.

        ``user_id`` and ``org_id`` are the client's ``user`` and ``org`` if not given; ``session_id`` is your own id,
        else the server makes one. With an ``idempotency_key`` of your own, a second call with the same content gives
        the session of the first, for 24 hours and from whatever process.

        Raises:
            AlreadyExists: the id is taken.
            FlowNotFound: no such flow.
            IdempotencyKeyReused: the key was used for other content.
            ValueError: ``metadata`` is not JSON in FlowState's profile.
        """
        session = session_service_pb2.Session(
            session_id=optional_id(session_id, "session_id"),
            flow_kind=identifier(flow_kind, "flow_kind"),
            user_id=optional_id(self._user if user_id is None else user_id, "user_id"),
            org_id=optional_id(self._org if org_id is None else org_id, "org_id"),
            title=bounded(title, "title", MAX_TITLE_BYTES),
            description=bounded(description, "description", MAX_DESCRIPTION_BYTES),
            tags=labels(tags, "tags"),
        )
        if metadata is not None:
            session.metadata.CopyFrom(self._value(mapping(metadata, "metadata")))
        request = session_service_pb2.CreateSessionRequest(
            session=session, idempotency_key=idempotency_key_of(idempotency_key)
        )
        method = "SessionService/CreateSession"
        response = await self._caller.write(method, self._stub.CreateSession, request, timeout=timeout)
        if response.replayed:  # then the answer holds no more than the id
            return await self.get(response.session.session_id)
        return Session.from_proto(response.session)

    def list(
        self,
        *,
        flow_kind: str = "",
        user_id: str = "",
        org_id: str = "",
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        active_after: datetime | None = None,
        include_ephemeral: bool = False,
        include_total: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> AsyncPager[Session]:
        """Sessions, newest first. Filters add up; a filter that the server does not serve is FeatureUnavailable.

        Args:
            flow_kind: Only sessions of this flow, be it served or not: of one that never was there are none.
            metadata: Only sessions whose top-level metadata has these keys with equal values; ``1`` is not ``1.0``.
            tags: Only sessions that have all of these.
            active_after: Only sessions in which something happened after this time, which has a time zone.
            include_ephemeral: Also those made by actions that were called without a session.
            include_total: Count all matches (``Page.total_size``), which costs time.
            page_size: 0: the server's 50; at most 500.
        """
        template = session_service_pb2.ListSessionsRequest(
            flow_kind=optional_id(flow_kind, "flow_kind"),
            user_id=optional_id(user_id, "user_id"),
            org_id=optional_id(org_id, "org_id"),
            metadata={key: self._value(value) for key, value in mapping(metadata or {}, "metadata").items()},
            tags=labels(tags, "tags"),
            include_ephemeral=include_ephemeral,
            include_total=include_total,
            page_size=number(page_size, "page_size"),
        )
        if active_after is not None:
            if active_after.tzinfo is None:
                raise ValueError("active_after has no time zone")
            template.active_after.FromDatetime(active_after)

        async def fetch(token: str) -> Page[Session]:
            request = session_service_pb2.ListSessionsRequest(page_token=token)
            request.MergeFrom(template)
            response = await self._caller.read(
                "SessionService/ListSessions", self._stub.ListSessions, request
            )
            total = response.total_size if response.HasField("total_size") else None
            return Page([Session.from_proto(s) for s in response.sessions], response.next_page_token, total)

        return AsyncPager(fetch, page_token=page_token)

    def events(
        self,
        session_id: str,
        *,
        after: Cursor | Event | int | None = None,
        types: Iterable[str] = (),
        audience: str | None = None,
        max_outage: float | None = None,
        replay_only: bool = False,
    ) -> EventStream:
        """All events of the session, over all its requests, from the start or behind ``after``, then live until it is
        deleted.

        Args:
            after: A cursor of the session's log, such as ``snapshot.cursor``; an event that came from here; or a
                ``session_sequence``. ``None``: from the start.
            types, audience, max_outage, replay_only: As in ``run.events()``.
        """
        return EventStream(
            self._caller,
            session_id=identifier(session_id, "session_id"),
            after=cursor_of(after),
            filter=event_filter(types, audience),
            max_outage=max_outage,
            replay_only=replay_only,
        )

    def list_events(
        self,
        session_id: str,
        *,
        types: Iterable[str] = (),
        audience: str | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> AsyncPager[Event]:
        """The events of the session that are stored now, over all its requests, in pages; see ``run.list_events``."""
        return event_pages(
            self._caller,
            session_id=identifier(session_id, "session_id"),
            types=types,
            audience=audience,
            page_size=page_size,
            page_token=page_token,
        )

    @overload
    async def snapshot(  # pyright: ignore[reportOverlappingOverload]
        self,
        session_id: str,
        *,
        model: TypeForm[T],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[T]: ...
    # As of RunHandle.result.
    @overload
    async def snapshot(  # type: ignore[overload-cannot-match]
        self,
        session_id: str,
        *,
        model: TypeForm[object],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[object]: ...
    @overload
    async def snapshot(
        self,
        session_id: str,
        *,
        model: Any = ...,
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[Any]: ...
    async def snapshot(
        self,
        session_id: str,
        *,
        model: Any = Any,
        names: Mapping[Scope, Sequence[str]] | None = None,
        timeout: float | None = None,
    ) -> Snapshot[Any]:
        """What the flow shows to clients of the session's, its user's and its org's state: one consistent read.

        Args:
            model: What ``client_data`` is read as; plain JSON values if not given.
            names: Which names of which scope; an empty sequence means all of the scope. ``None``: everything.

        Raises:
            SessionNotFound: no such session for this caller.
            InvalidArgument: a name that the flow does not show.
            ResponseValidationError: the data does not fit ``model``.
        """
        return await read_snapshot(self._caller, session_id, model=model, names=names, timeout=timeout)

    @overload
    def watch(  # pyright: ignore[reportOverlappingOverload]
        self,
        session_id: str,
        *,
        model: TypeForm[T],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        max_outage: float | None = ...,
    ) -> SnapshotWatch[T]: ...
    # As of RunHandle.result.
    @overload
    def watch(  # type: ignore[overload-cannot-match]
        self,
        session_id: str,
        *,
        model: TypeForm[object],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        max_outage: float | None = ...,
    ) -> SnapshotWatch[object]: ...
    @overload
    def watch(
        self,
        session_id: str,
        *,
        model: Any = ...,
        names: Mapping[Scope, Sequence[str]] | None = ...,
        max_outage: float | None = ...,
    ) -> SnapshotWatch[Any]: ...
    def watch(
        self,
        session_id: str,
        *,
        model: Any = Any,
        names: Mapping[Scope, Sequence[str]] | None = None,
        max_outage: float | None = None,
    ) -> SnapshotWatch[Any]:
        """What the flow shows to clients, now and whenever it has changed, until the session is deleted.

        ``async for view in client.sessions.watch(session_id, model=View)`` yields a whole :class:`Snapshot` each time,
        whoever made the change and on whatever server; to a slow reader several changes come as one.

        Args:
            model, names: As for :meth:`snapshot`.
            max_outage: Seconds without any connection after which it raises; ``None``: it goes on trying.
        """
        return SnapshotWatch(
            self._caller, session_id, selectors=selectors(names), model=model, max_outage=max_outage
        )
