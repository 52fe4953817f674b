"""The write by which sessions are resolved."""

from __future__ import annotations

from flowstate_server.model.frozen import frozen
from flowstate_server.model.resolve_keys import ResolveKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes import Write


class ResolveKeyTaken(Exception):
    """Another session is resolved by the key."""


@frozen
class HoldResolveKey(Write):
    """Let the session's incarnation ``log_id`` be resolved by ``key`` and no other from now on; without one, by none.

    Refused with :class:`ResolveKeyTaken` if the key's document names another session, unless that was found not to be
    resolved by it any more: then ``stale`` is the incarnation of the document. ``held`` is the key that the session was
    found to be resolved by, whose document goes; should it be another one by now, that document stays as a stale one.
    A session that was found to be resolved, and is not any more, stays so. The session has to live
    (``SessionNotFoundError``), and to be that incarnation (``SessionChanged``): put it after a session's creation.
    """

    session: SessionKey
    log_id: str
    key: ResolveKey | None
    held: ResolveKey | None = None
    stale: str = ""
