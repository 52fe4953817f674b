"""Writes of sessions."""

from __future__ import annotations

from dataclasses import field

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes.batches import Write


class SessionChanged(Exception):
    """The session is not the incarnation that the batch was made for. Read it again and decide anew."""


@frozen
class CreateSession(Write):
    """Create the session as bound here.

    A live session of that id refuses the batch: with ``SessionAlreadyExistsError`` if ``exclusive``, else with
    :class:`SessionChanged`. The tombstone of a deleted one is replaced if ``exclusive``, else it refuses the batch
    with ``SessionNotFoundError``.
    """

    key: SessionKey
    log_id: str
    flow_kind: str
    user_id: str
    org_id: str = ""
    ephemeral: bool = False
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    exclusive: bool = False


@frozen
class RequireSession(Write):
    """Refuse with ``SessionNotFoundError`` unless the session lives, with :class:`SessionChanged` unless it is the
    incarnation ``log_id``."""

    key: SessionKey
    log_id: str


@frozen
class UpdateSession(Write):
    """Replace the named metadata fields (``title``, ``description``, ``tags``, ``metadata``) of a live session.

    A change adds 1 to the session's metadata version and appends ``session.metadata_changed``, to the log of
    ``request`` if given. Equal values change nothing.
    """

    key: SessionKey
    fields: JsonObject
    request: RequestKey | None = None
