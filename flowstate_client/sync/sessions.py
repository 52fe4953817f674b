"""Sessions, and the view of state that their flow shows."""

# Written by .ci/codegen/sync_client.py from flowstate_client/sessions.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import sessions as asynchronous
from flowstate_client.events import Event
from flowstate_client.models import Cursor, Scope
from flowstate_client.session import Session
from flowstate_client.snapshots import Snapshot
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.session_items import SessionItems
from flowstate_client.sync.stream import EventStream
from flowstate_client.sync.watch import SnapshotWatch

T = TypeVar("T")


class Sessions(SessionItems):
    """``client.sessions``: conversations. To anyone but its user a session is ``SessionNotFound``."""

    def __init__(self, thread: LoopThread, sessions: asynchronous.Sessions) -> None:
        super().__init__(thread, sessions)
        self._sessions = sessions

    def create(
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
        return self._thread.run(
            self._sessions.create(
                flow_kind,
                user_id=user_id,
                org_id=org_id,
                session_id=session_id,
                title=title,
                description=description,
                tags=tags,
                metadata=metadata,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        )

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
    ) -> Pager[Session]:
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
        return Pager(
            self._thread,
            self._sessions.list(
                flow_kind=flow_kind,
                user_id=user_id,
                org_id=org_id,
                metadata=metadata,
                tags=tags,
                active_after=active_after,
                include_ephemeral=include_ephemeral,
                include_total=include_total,
                page_size=page_size,
                page_token=page_token,
            ),
        )

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
            self._thread,
            self._sessions.events(
                session_id,
                after=after,
                types=types,
                audience=audience,
                max_outage=max_outage,
                replay_only=replay_only,
            ),
        )

    def list_events(
        self,
        session_id: str,
        *,
        types: Iterable[str] = (),
        audience: str | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pager[Event]:
        """The events of the session that are stored now, over all its requests, in pages; see ``run.list_events``."""
        return Pager(
            self._thread,
            self._sessions.list_events(
                session_id, types=types, audience=audience, page_size=page_size, page_token=page_token
            ),
        )

    @overload
    def snapshot(  # pyright: ignore[reportOverlappingOverload]
        self,
        session_id: str,
        *,
        model: TypeForm[T],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[T]: ...
    # As of RunHandle.result.
    @overload
    def snapshot(  # type: ignore[overload-cannot-match]
        self,
        session_id: str,
        *,
        model: TypeForm[object],
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[object]: ...
    @overload
    def snapshot(
        self,
        session_id: str,
        *,
        model: Any = ...,
        names: Mapping[Scope, Sequence[str]] | None = ...,
        timeout: float | None = ...,
    ) -> Snapshot[Any]: ...
    def snapshot(
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
        return self._thread.run(
            self._sessions.snapshot(session_id, model=model, names=names, timeout=timeout)
        )

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

        ``for view in client.sessions.watch(session_id, model=View)`` yields a whole :class:`Snapshot` each time,
        whoever made the change and on whatever server; to a slow reader several changes come as one.

        Args:
            model, names: As for :meth:`snapshot`.
            max_outage: Seconds without any connection after which it raises; ``None``: it goes on trying.
        """
        return SnapshotWatch(
            self._thread, self._sessions.watch(session_id, model=model, names=names, max_outage=max_outage)
        )
