"""Writes of states."""

from __future__ import annotations

from collections.abc import Callable

from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey
from flowstate_server.stores.contract.writes.batches import Write
from flowstate_server.stores.contract.writes.preconditions import Precondition


@frozen
class Changed:
    """A new state, its JSON text, and the events that tell of it (the new version is ``record.version + 1``).

    ``generations`` and ``schema_hash`` are those of the record from now on; ``None``: as they were.
    """

    state: JsonObject
    text: bytes
    events: tuple[Event, ...] = ()
    generations: Generations | None = None
    schema_hash: str | None = None


class NoChange:
    """What a change returns when the stored state already is what it would make."""


NO_CHANGE = NoChange()

Change = Callable[[StateRecord], Changed | NoChange]
"""A pure function of the newest record. Called inside the transaction, perhaps several times; whatever it raises
refuses its batch alone. No author code runs in it but schema validators."""


@frozen
class ChangeState(Write):
    """Replace a state by what ``change`` makes of the newest record; each change adds exactly 1 to the version.

    ``precondition`` failing: ``VersionMismatchError``. ``incarnation``, if given, must be that of the record, for a
    session scope the session's ``log_id`` (else ``ScopeUnavailableError``); ``""``, noted when there was no record,
    is met by any, so that racing creators agree on one. A session scope needs its live session
    (``SessionNotFoundError``), a request scope its request and ``request`` the one it names, in progress
    (``RequestNotFoundError``, ``RequestTerminalError``). Events go to the log of ``request``; without one those of a
    session scope go to the session's log only, those of a request scope to its request's log, those of a user or org
    record nowhere.
    """

    key: ScopeKey
    change: Change
    precondition: Precondition | None = None
    request: RequestKey | None = None
    incarnation: str | None = None


@frozen
class DeleteState(Write):
    """Make a user or org record a tombstone, which keeps the version. No change if it does not exist."""

    key: ScopeKey
    precondition: Precondition | None = None
