"""Calls that change a session, or make one where there is none."""

# Written by .ci/codegen/sync_client.py from flowstate_client/session_changes.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowstate_client import session_changes as asynchronous
from flowstate_client.session import ResolvedSession, Session
from flowstate_client.state_batch import Seen
from flowstate_client.sync.loop_thread import LoopThread


class SessionChanges:
    """What ``client.sessions`` has of them."""

    def __init__(self, thread: LoopThread, session_changes: asynchronous.SessionChanges) -> None:
        self._thread = thread
        self._session_changes = session_changes

    def resolve(
        self,
        flow_kind: str,
        *,
        metadata: Mapping[str, Any],
        user_id: str | None = None,
        org_id: str | None = None,
        title: str = "",
        description: str = "",
        tags: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ResolvedSession:
        """The session that was resolved by exactly this metadata before, for this user and flow, or a new one.

        Callers at once, of whatever process, get the same. ``title``, ``description`` and ``tags`` are for a new one.
        A session is resolved by other metadata once :meth:`update` has set them, and by none once it was deleted; those
        that :meth:`create` makes are found by :meth:`list`.

        Raises:
            FlowNotFound: no such flow.
            OrgBindingMismatch: the session belongs to another org.
            ValueError: ``metadata`` is not JSON in FlowState's profile.
        """
        return self._thread.run(
            self._session_changes.resolve(
                flow_kind,
                metadata=metadata,
                user_id=user_id,
                org_id=org_id,
                title=title,
                description=description,
                tags=tags,
                timeout=timeout,
            )
        )

    def update(
        self,
        session_id: str,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        at: Seen | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Changes the fields that are given, once however often the call has to be repeated.

        ``metadata`` replaces all of it; an empty text, list or object clears a field. Updates of different fields at
        once all land.

        Args:
            at: Only if the session is still as it was seen: the :class:`Session`, or its version alone.

        Raises:
            AlreadyExists: the session was made by :meth:`resolve`, and another one is resolved by this metadata.
            SessionNotFound: no such session for this caller.
            ValueError: no field is given, or ``metadata`` is not JSON in FlowState's profile.
            VersionMismatch: the session has been changed since, or made anew.
        """
        return self._thread.run(
            self._session_changes.update(
                session_id,
                title=title,
                description=description,
                tags=tags,
                metadata=metadata,
                at=at,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        )

    def delete(
        self,
        session_id: str,
        *,
        at: Seen | None = None,
        allow_missing: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Deletes a session with everything in it: its running requests are aborted, and nothing of it can be read any
        more. ``create`` makes a session of that id anew, empty.

        Args:
            at: Only if the session is still as it was seen: the :class:`Session`, or its version alone.
            allow_missing: A session that is not there is fine, too.

        Raises:
            SessionNotFound: no such session for this caller. Where the call had to be repeated a session that is gone
                by then counts as deleted by it.
            VersionMismatch: the session has been changed since, or made anew.
        """
        self._thread.run(
            self._session_changes.delete(session_id, at=at, allow_missing=allow_missing, timeout=timeout)
        )

    def get(self, session_id: str, *, timeout: float | None = None) -> Session:
        """One session.

        Raises:
            SessionNotFound: no such session for this caller.
        """
        return self._thread.run(self._session_changes.get(session_id, timeout=timeout))
