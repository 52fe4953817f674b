"""What was stored and can't be understood."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from flowstate_server.model.events import EventKey, EventRecord
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import TURNS, Table

Incarnation = tuple[SessionKey, str]
Key = TypeVar("Key")


class Damage:
    """Keys of damaged records, each with what is wrong with it.

    ``found`` gives what is left of a key where only the place of a record is known, and keys are kept in this form.
    ``lines`` are damaged events of a log by their places, ``incomplete`` the requests that may have lost some.
    """

    def __init__(self, found: Callable[[Table[Any, Any], Any], Any] = lambda _, key: key) -> None:
        self._found = found
        self._keys: dict[Table[Any, Any], dict[Any, str]] = {}
        self.lines: dict[Incarnation, dict[int, str]] = {}
        self.incomplete: dict[RequestKey, str] = {}

    def put(self, table: Table[Key, Any], key: Key, why: str) -> None:
        self._keys.setdefault(table, {})[key] = why

    def keys(self, table: Table[Key, Any]) -> Iterable[Key]:
        return self._keys.get(table, ())

    def check(self, table: Table[Key, Any], key: Key) -> None:
        """
        Raises:
            DamagedRecord: what is stored under the key can't be understood.
        """
        damaged = self._keys.get(table)
        if damaged:
            why = damaged.get(key) or damaged.get(self._found(table, key))
            if why is not None:
                raise DamagedRecord(key, why)

    def check_events(self, request: RequestKey) -> None:
        """
        Raises:
            DamagedRecord: events of the request may be lost.
        """
        if request in self.incomplete:
            raise DamagedRecord(request, self.incomplete[request])

    def check_turns(self, incarnation: Incarnation, first: int) -> None:
        """
        Raises:
            DamagedRecord: a turn from ``first`` on can't be understood.
        """
        for key in self.keys(TURNS):
            if key.number >= first:
                self.check(TURNS, TurnKey(*incarnation, key.number))


def up_to_damage(
    events: Iterator[EventRecord], damaged: Mapping[int, str], session: SessionKey, after: int
) -> Iterator[EventRecord]:
    """The events, up to one that is damaged: whoever comes to it gets ``DamagedRecord``."""
    place = min((place for place in damaged if place > after), default=None)
    for event in events:
        if place is not None and place <= event.session_sequence:
            break
        yield event
    if place is not None:
        raise DamagedRecord(EventKey(session, place), damaged[place])
