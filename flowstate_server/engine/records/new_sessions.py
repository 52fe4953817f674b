"""What a call that may create a session commits."""

from __future__ import annotations

from flowstate_server.engine.bindings import claimed_org, claimed_user
from flowstate_server.engine.calls.sessions import NewSession
from flowstate_server.engine.drawn_fields import DrawnFields
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.engine.records.session_fields import check_session_fields
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.clock import Seconds
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id, new_id, new_log_id
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKind, SessionKey, session_scope
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.keeping import Keeping
from flowstate_server.state.json_profile import parse_json
from flowstate_server.stores.contract.writes import CommitResult, CreateSession, Write
from flowstate_server.stores.store import Store


@frozen
class PreparedSession:
    """The creation of a session, checked, and what is drawn for its state."""

    creation: CreateSession
    drawn: DrawnFields
    keeping: Keeping

    def lifetime(self, *, ephemeral: bool) -> Seconds | None:
        """How long after its last activity such a session is deleted."""
        return self.keeping.lifetime(ephemeral=ephemeral)

    async def commit(
        self, store: Store, *, before: tuple[Write, ...] = (), after: tuple[Write, ...] = ()
    ) -> CommitResult:
        """Create the session, in one commit with the writes around it."""
        fields = self.drawn.writes({ScopeKind.SESSION: session_scope(self.creation.key)})
        return await self.drawn.commit(store, (*before, self.creation, *after, *fields))


class NewSessions:
    def __init__(self, catalogue: Catalogue, settings: EngineSettings, rehearsals: Rehearsals) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._rehearsals = rehearsals

    async def prepared(self, principal: Principal, new: NewSession) -> PreparedSession:
        """
        Raises:
            FlowNotFoundError, AccessDeniedError, ValidationFailedError, JsonInvalidError: it can't be created.
        """
        hosted = self._catalogue.get(new.flow_kind)
        user_id = claimed_user(principal, new.user_id)
        org_id = claimed_org(principal, new.org_id)
        check_id("session_id", new.session_id, required=False)
        metadata = await read_aside(len(new.metadata), _metadata, new.metadata)
        check_session_fields(
            {
                "title": new.title,
                "description": new.description,
                "tags": list(new.tags),
                "metadata": metadata,
            }
        )
        creation = CreateSession(
            key=SessionKey(principal.tenant, new.session_id or new_id("sess_")),
            log_id=new_log_id(),
            flow_kind=hosted.described.kind,
            user_id=user_id,
            org_id=org_id,
            title=new.title,
            description=new.description,
            tags=new.tags,
            metadata=metadata,
            exclusive=True,
        )
        limit = self._settings.max_state_bytes
        drawn = DrawnFields(hosted, self._catalogue, limit, self._rehearsals)
        return PreparedSession(creation, drawn, hosted.described.keeping)


def _metadata(text: bytes) -> JsonObject:
    if not text:
        return {}
    value = parse_json(text, "session.metadata")
    if not isinstance(value, dict):
        raise ValidationFailedError((Violation("session.metadata", "object_type", "must be a JSON object"),))
    return value
