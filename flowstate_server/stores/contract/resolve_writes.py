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
    """Let the session's incarnation ``log_id`` be resolved by ``key`` from now on, and by ``held`` no longer.

    ``held`` is the key that it is resolved by so far, ``None`` if there is none; :class:`SessionChanged` if that is not
    so. Without ``key`` the session is resolved no more. Refused with :class:`ResolveKeyTaken` if another session holds
    the key, unless that was found dead: then ``dead`` is the incarnation of the key's document. The session has to live
    (``SessionNotFoundError``), and to be that incarnation (:class:`SessionChanged`): put it after the creation of a
    session, and ahead of its deletion.
    """

    session: SessionKey
    log_id: str
    key: ResolveKey | None
    held: ResolveKey | None = None
    dead: str = ""
