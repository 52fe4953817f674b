"""Sessions, and the view of state that their flow shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast, overload

import orjson

from flowstate.v1 import session_service_pb2, session_service_pb2_grpc, types_pb2
from flowstate_client.calls import Caller
from flowstate_client.ids import new_idempotency_key
from flowstate_client.models import Cursor, Failure, Scope, plain_time, plain_value
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.proof import proven_text

T = TypeVar("T")
Call = TypeVar("Call", bound=Callable[..., Any])


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


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a flow shows to clients, at one moment.

    Attributes:
        session_id: The session.
        client_data: ``{"session": {name: value}, "user": {...}, "org": {...}}`` as the model asked for.
        versions: The version of each scope's record; 0 if it was never written.
        failures: Derived values that could not be computed, by scope and name.
        active_requests: Running requests, each with the cursor behind which to follow it.
        cursor: The end of the session's log that the view is true for.
        read_time: When it was read.
    """

    session_id: str
    client_data: T
    versions: Mapping[Scope, int]
    failures: Mapping[Scope, Mapping[str, Failure]]
    active_requests: Mapping[str, Cursor]
    cursor: Cursor
    read_time: datetime | None


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

    async def delete(
        self,
        session_id: str,
        *,
        version: int | None = None,
        allow_missing: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Deletes a session with everything in it: its running requests are aborted, and nothing of it can be read any
        more. ``create`` makes a session of that id anew, empty.

        Args:
            version: Delete only if the session is at this version (:attr:`Session.version`).
            allow_missing: A session that is not there is fine, too.

        Raises:
            SessionNotFound: no such session for this caller. Where the call had to be repeated a session that is gone
                by then counts as deleted by it.
            VersionMismatch: the session is at another version.
        """
        request = session_service_pb2.DeleteSessionRequest(session_id=session_id, allow_missing=allow_missing)
        if version is not None:
            request.precondition.version = version
        call = _fine_if_gone(self._stub.DeleteSession)
        await self._caller.write("SessionService/DeleteSession", call, request, timeout=timeout)

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
        selectors = [
            session_service_pb2.SnapshotSelector(scope=_KINDS[Scope(scope)], names=chosen)
            for scope, chosen in (names or {}).items()
        ]
        request = session_service_pb2.GetSnapshotRequest(session_id=session_id, selectors=selectors)
        method = "SessionService/GetSnapshot"
        response = await self._caller.read(method, self._stub.GetSnapshot, request, timeout=timeout)
        projections = {Scope.from_proto(projection.scope): projection for projection in response.scopes}
        return Snapshot(
            session_id=response.session_id,
            client_data=self._caller.codec.decode(client_data(response.scopes), model),
            versions={scope: projection.version for scope, projection in projections.items()},
            failures={
                scope: {name: Failure.from_proto(failure) for name, failure in projection.failures.items()}
                for scope, projection in projections.items()
                if projection.failures
            },
            active_requests={r.request_id: Cursor.from_proto(r.cursor) for r in response.active_requests},
            cursor=Cursor.from_proto(response.cursor),
            read_time=plain_time(response, "read_time"),
        )

    def _value(self, value: Any) -> types_pb2.Value:
        return types_pb2.Value(json=proven_text(value, self._caller.codec))


def _fine_if_gone(call: Call) -> Call:
    """``call`` once, and from the second time on as if a missing session were fine: the first may have deleted it."""
    attempts = 0

    def attempt(request: session_service_pb2.DeleteSessionRequest, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        sent = session_service_pb2.DeleteSessionRequest(allow_missing=attempts > 1)
        sent.MergeFrom(request)
        return call(sent, **options)

    return cast("Call", attempt)


_KINDS = {
    Scope.SESSION: types_pb2.SCOPE_KIND_SESSION,
    Scope.USER: types_pb2.SCOPE_KIND_USER,
    Scope.ORG: types_pb2.SCOPE_KIND_ORG,
}


def client_data(projections: Iterable[session_service_pb2.ScopeProjection]) -> bytes:
    """JSON text of ``{scope: {name: value}}``, the values as the server sent them."""
    scopes = []
    for projection in projections:
        values = b",".join(_key(name) + value.json.encode() for name, value in projection.values.items())
        scopes.append(_key(Scope.from_proto(projection.scope)) + b"{" + values + b"}")
    return b"{" + b",".join(scopes) + b"}"


def _key(name: str) -> bytes:
    return orjson.dumps(str(name)) + b":"
