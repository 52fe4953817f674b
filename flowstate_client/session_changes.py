"""Calls that change a session, or make one where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from flowstate.v1 import session_service_pb2, session_service_pb2_grpc, types_pb2
from flowstate_client.arguments import bounded, identifier, labels, mapping, optional_id
from flowstate_client.calls import Caller
from flowstate_client.ids import idempotency_key_of
from flowstate_client.proof import proven_text
from flowstate_client.session import ResolvedSession, Session
from flowstate_client.state_batch import Seen, as_seen

MAX_TITLE_BYTES = 1024
MAX_DESCRIPTION_BYTES = 16 * 1024

Call = TypeVar("Call", bound=Callable[..., Any])


class SessionChanges:
    """What ``client.sessions`` has of them."""

    _caller: Caller
    _user: str
    _org: str
    _stub: session_service_pb2_grpc.SessionServiceStub

    async def resolve(
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
        session = session_service_pb2.Session(
            flow_kind=identifier(flow_kind, "flow_kind"),
            user_id=optional_id(self._user if user_id is None else user_id, "user_id"),
            org_id=optional_id(self._org if org_id is None else org_id, "org_id"),
            title=bounded(title, "title", MAX_TITLE_BYTES),
            description=bounded(description, "description", MAX_DESCRIPTION_BYTES),
            tags=labels(tags, "tags"),
            metadata=self._value(mapping(metadata, "metadata")),
        )
        request = session_service_pb2.ResolveSessionRequest(session=session)
        method = "SessionService/ResolveSession"
        response = await self._caller.write(method, self._stub.ResolveSession, request, timeout=timeout)
        resolved = Session.from_proto(response.session)
        values = {one.name: getattr(resolved, one.name) for one in fields(resolved)}
        return ResolvedSession(**values, created=response.created)

    async def update(
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
        session = session_service_pb2.Session(session_id=identifier(session_id, "session_id"))
        request = session_service_pb2.UpdateSessionRequest(
            session=session, idempotency_key=idempotency_key_of(idempotency_key)
        )
        fields = {"title": title, "description": description, "tags": tags, "metadata": metadata}
        request.update_mask.paths.extend(name for name, value in fields.items() if value is not None)
        if not request.update_mask.paths:
            raise ValueError("no field to change is given")
        request.session.title = bounded(title or "", "title", MAX_TITLE_BYTES)
        request.session.description = bounded(description or "", "description", MAX_DESCRIPTION_BYTES)
        request.session.tags.extend(labels(tags or (), "tags"))
        if metadata is not None:
            request.session.metadata.CopyFrom(self._value(mapping(metadata, "metadata")))
        if at is not None:
            request.precondition.CopyFrom(as_seen(at))
        method = "SessionService/UpdateSession"
        response = await self._caller.write(method, self._stub.UpdateSession, request, timeout=timeout)
        if response.replayed:  # then the answer holds no more than the id
            return await self.get(session_id)
        return Session.from_proto(response.session)

    async def delete(
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
        request = session_service_pb2.DeleteSessionRequest(
            session_id=identifier(session_id, "session_id"), allow_missing=allow_missing
        )
        if at is not None:
            request.precondition.CopyFrom(as_seen(at))
        call = _fine_if_gone(self._stub.DeleteSession)
        await self._caller.write("SessionService/DeleteSession", call, request, timeout=timeout)

    async def get(self, session_id: str, *, timeout: float | None = None) -> Session:
        """One session.

        Raises:
            SessionNotFound: no such session for this caller.
        """
        request = session_service_pb2.GetSessionRequest(session_id=identifier(session_id, "session_id"))
        method = "SessionService/GetSession"
        response = await self._caller.read(method, self._stub.GetSession, request, timeout=timeout)
        return Session.from_proto(response.session)

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
