"""Writes that remove what users have: a session with everything in it, or the oldest part of one."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import TurnKey
from flowstate_server.model.resolve_keys import ResolveKey
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import Precondition, Write


@frozen
class DeleteSession(Write):
    """Make a live session and its state tombstones, and end its open requests as aborted.

    From then on nobody reads or writes anything of it or of its requests, and their ids are refused with
    ``RequestNotFoundError``; what is stored of them is removed by ``Sweeps.sweep_sessions``. The state's version goes
    on if the session is made anew. ``held`` is the key that the session was found to be resolved by: it is free from
    then on, unless another session is resolved by it by now.

    ``SessionNotFoundError`` unless the session lives, :class:`SessionChanged` unless it is the ``incarnation``, if that
    is given; ``precondition``, of the session's own version and its incarnation, failing: ``VersionMismatchError``.
    With ``idle_since`` nothing is refused: it is deleted only if nothing has happened in it after that time and no
    request is open, else nothing changes. ``ids`` of the result are those of the requests that were open.
    """

    key: SessionKey
    incarnation: str = ""
    precondition: Precondition | None = None
    idle_since: Micros | None = None
    held: ResolveKey | None = None


@frozen
class RemoveHistory(Write):
    """Remove the oldest part of what a live session holds: all that ended up to ``place`` of its log.

    ``requests`` are those that ended there, ``turns`` the turns: they go whole, with events, items, inputs and
    outcomes, and so do events outside of requests up to there. The floor of the session's log rises to ``place``. Ids
    of the requests are remembered as those of a deleted session are. What is gone already is passed over; requests that
    are open, or of another incarnation, are left alone.

    Nothing changes unless what it was made on is so still: the session lives in this ``incarnation``, the ``floor`` of
    its log is where it was and, for whoever has counted turns, items of it have been removed ``removals`` times.
    """

    key: SessionKey
    incarnation: str
    floor: int
    place: int
    requests: tuple[RequestKey, ...]
    turns: tuple[TurnKey, ...]
    removals: int | None = None
