"""Sessions, and the view of state that their flow shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, overload

from flowstate.v1 import session_service_pb2, session_service_pb2_grpc, types_pb2
from flowstate_client.calls import Caller
from flowstate_client.ids import new_idempotency_key
from flowstate_client.models import Scope, plain_time, plain_value
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.proof import proven_text
from flowstate_client.snapshots import Snapshot, selectors, snapshot_of
from flowstate_client.watch import SnapshotWatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it was read. ``id`` is what everything else calls its ``session_id``, ``metadata`` is a plain JSON
    object, ``version`` counts changes of these fields."""

    id: str
    flow_kind: str
    user_id: str
    org_id: str
    title: str
    description: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    ephemeral: bool
    version: int
    create_time: datetime | None
    update_time: datetime | None
    last_activity_time: datetime | None

    @classmethod
    def from_proto(cls, session: session_service_pb2.Session) -> Session:
        """The session of a ``flowstate.v1.Session``."""
        return cls(
            id=session.session_id,
            flow_kind=session.flow_kind,
            user_id=session.user_id,
            org_id=session.org_id,
            title=session.title,
            description=session.description,
            tags=tuple(session.tags),
            metadata=plain_value(session.metadata) or {},
            ephemeral=session.ephemeral,
            version=session.meta.version,
            create_time=plain_time(session.meta, "create_time"),
            update_time=plain_time(session.meta, "update_time"),
            last_activity_time=plain_time(session, "last_activity_time"),
        )


class Sessions:
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
            session_id=session_id or "",
            flow_kind=flow_kind,
            user_id=self._user if user_id is None else user_id,
            org_id=self._org if org_id is None else org_id,
            title=title,
            description=description,
            tags=tags,
        )
        if metadata is not None:
            session.metadata.CopyFrom(self._value(dict(metadata)))
        request = session_service_pb2.CreateSessionRequest(
            session=session, idempotency_key=idempotency_key or new_idempotency_key()
        )
        method = "SessionService/CreateSession"
        response = await self._caller.write(method, self._stub.CreateSession, request, timeout=timeout)
        if response.replayed:  # then the answer holds no more than the id
            return await self.get(response.session.session_id)
        return Session.from_proto(response.session)

    async def get(self, session_id: str, *, timeout: float | None = None) -> Session:
        """One session.

        Raises:
            SessionNotFound: no such session for this caller.
        """
        request = session_service_pb2.GetSessionRequest(session_id=session_id)
        method = "SessionService/GetSession"
        response = await self._caller.read(method, self._stub.GetSession, request, timeout=timeout)
        return Session.from_proto(response.session)

    def list(
        self,
        *,
        flow_kind: str = "",
        user_id: str = "",
        org_id: str = "",
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        include_ephemeral: bool = False,
        include_total: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> AsyncPager[Session]:
        """Sessions, newest first. Filters add up; a filter that the server does not serve is FeatureUnavailable.

        Args:
            metadata: Only sessions whose top-level metadata has these keys with equal values.
            tags: Only sessions that have all of these.
            include_ephemeral: Also those made by actions that were called without a session.
            include_total: Count all matches (``Page.total_size``), which costs time.
            page_size: 0: the server's 50; at most 500.
        """
        template = session_service_pb2.ListSessionsRequest(
            flow_kind=flow_kind,
            user_id=user_id,
            org_id=org_id,
            metadata={key: self._value(value) for key, value in (metadata or {}).items()},
            tags=tags,
            include_ephemeral=include_ephemeral,
            include_total=include_total,
            page_size=page_size,
        )

        async def fetch(token: str) -> Page[Session]:
            request = session_service_pb2.ListSessionsRequest(page_token=token)
            request.MergeFrom(template)
            response = await self._caller.read(
                "SessionService/ListSessions", self._stub.ListSessions, request
            )
            total = response.total_size if response.HasField("total_size") else None
            return Page([Session.from_proto(s) for s in response.sessions], response.next_page_token, total)

        return AsyncPager(fetch, page_token=page_token)

    @overload
    async def snapshot(
        self,
        session_id: str,
        *,
        model: type[T],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[T]: ...
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
        request = session_service_pb2.GetSnapshotRequest(session_id=session_id, selectors=selectors(names))
        method = "SessionService/GetSnapshot"
        response = await self._caller.read(method, self._stub.GetSnapshot, request, timeout=timeout)
        return snapshot_of(response, self._caller.codec, model)

    @overload
    def watch(
        self,
        session_id: str,
        *,
        model: type[T],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        max_outage: float | None = ...,
    ) -> SnapshotWatch[T]: ...
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

    def _value(self, value: Any) -> types_pb2.Value:
        return types_pb2.Value(json=proven_text(value, self._caller.codec))
