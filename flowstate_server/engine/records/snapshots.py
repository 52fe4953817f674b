"""Client snapshots: what a flow shows of a session, its user and its org, from one consistent read."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.logs import LogCursor
from flowstate_server.engine.calls.sessions import ActiveRequest, Selector, Snapshot
from flowstate_server.engine.records.projections import NONE, Projections
from flowstate_server.engine.records.session_reading import SessionRead, SessionReading
from flowstate_server.engine.records.session_view import SessionView, session_view
from flowstate_server.errors import SessionNotFoundError, StoreUnavailableError
from flowstate_server.model.identity import Principal
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 3


class Snapshots:
    def __init__(
        self, store: Store, catalogue: Catalogue, bindings: Bindings, projections: Projections
    ) -> None:
        self.reading = SessionReading(store)
        self._catalogue = catalogue
        self._bindings = bindings
        self._projections = projections

    async def get(self, principal: Principal, session_id: str, selectors: Sequence[Selector]) -> Snapshot:
        """The client projection of the session; the same for every plane.

        Without selectors every scope that the flow shows something of. A derived value that fails is reported under
        its name, the others are served.
        """
        view, seen = await self.read(principal, session_id, selectors)
        read = seen.projection
        scopes = [
            await self._projections.of(
                view.flow, kind, read.states[key], view.names[kind], seen.resources.get(kind, NONE)
            )
            for kind, key in view.keys.items()
        ]
        return Snapshot(
            session_id=read.session.key.session_id,
            scopes=scopes,
            active=active_requests(read),
            cursor=session_cursor(read),
            time=read.time,
        )

    async def read(
        self, principal: Principal, session_id: str, selectors: Sequence[Selector]
    ) -> tuple[SessionView, SessionRead]:
        """What is asked for of a session of ``principal``, and the records.

        Raises:
            SessionNotFoundError: it has no such session.
            ValidationFailedError: the selectors name what the flow does not show.
        """
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, session_id)
            view = session_view(binding, self._catalogue.get(binding.flow_kind), selectors)
            read = await self.reading.read(view)
            if read is None:
                self._bindings.forget(binding.key)
                raise SessionNotFoundError(session_id)
            if read.projection.session.log_id == binding.log_id:
                return view, read
            self._bindings.forget(binding.key)
        raise StoreUnavailableError


def session_cursor(read: Projection) -> LogCursor:
    """The end of the session's log that the records are true for."""
    return LogCursor(read.session.log_id, read.head.sequence)


def active_requests(read: Projection) -> Sequence[ActiveRequest]:
    return [ActiveRequest(head.key.request_id, LogCursor(head.log_id, head.sequence)) for head in read.active]
