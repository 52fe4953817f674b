"""Lists of what a conversation consists of: its items, and the requests that made them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, ItemRecord
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import OPEN_STATUSES, RequestRecord, RequestStatus, TurnRecord
from flowstate_server.model.scopes import SessionKey

SCANNED = 5_000
"""Requests that a page looks at at most, where it picks some of them: no call costs more, whatever it picks."""


@frozen
class ItemPosition:
    """Where a page of items ended. ``turn`` and ``index`` place an item in a list of turns, and are 0 in others."""

    session_sequence: int
    turn: int = 0
    index: int = 0


def item_position(record: ItemRecord) -> ItemPosition:
    """Where a page ends with ``record``."""
    return ItemPosition(record.session_sequence, record.turn, record.item.index if record.turn else 0)


@frozen
class ItemRange:
    """Items of one incarnation of a session, ``with_removed`` those of which nothing but their place is left, too.

    In the order in which they were completed, by ``session_sequence``: all, or those of ``request_id``. Or those of the
    turns with the numbers ``turns``, both included: by turn, then by the item's index, then by ``session_sequence``.
    ``audience`` leaves those that are for it (:func:`~flowstate_server.model.items.is_for`).
    """

    session: SessionKey
    log_id: str
    request_id: str = ""
    turns: tuple[int, int] | None = None
    audience: Audience | None = None
    newest_first: bool = False
    with_removed: bool = False


@frozen
class ItemPage:
    """``end`` is where the next page goes on, ``None`` if nothing follows."""

    items: Sequence[ItemRecord]
    end: ItemPosition | None


LISTED_STATUSES = OPEN_STATUSES | {
    RequestStatus.COMPLETED,
    RequestStatus.FAILED,
    RequestStatus.ABORTED,
    RequestStatus.INTERRUPTED,
}
"""Those of requests that lists have, whatever is asked for."""


@frozen
class RequestPosition:
    """Where a page of requests ended. Lists go newest first, by create time and id, both descending."""

    create_time: Micros
    request_id: str


@frozen
class RequestFilter:
    """Which requests of one tenant to list; a part left ``None`` does not filter (an empty ``org_id`` means: none).

    ``session`` is a session and its incarnation; ``statuses`` are those of which a request has one, none of them: any.
    Without ``with_payloads`` inputs and outputs are left out, as ``b""`` and ``None``.
    """

    tenant: Tenant
    session: tuple[SessionKey, str] | None = None
    flow_kind: str | None = None
    action: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    statuses: frozenset[RequestStatus] = frozenset()
    with_payloads: bool = False

    @property
    def wanted(self) -> frozenset[RequestStatus]:
        """The statuses of which a request has to have one."""
        return self.statuses or LISTED_STATUSES

    @property
    def only_open(self) -> bool:
        """Whether the open requests of the whole store are what to look at."""
        return self.session is None and bool(self.statuses) and self.statuses <= OPEN_STATUSES

    def picks(self, record: RequestRecord) -> bool:
        """Whether it is one of them; tenant and session aside."""
        return (
            (self.flow_kind is None or record.flow_kind == self.flow_kind)
            and (self.action is None or record.action == self.action)
            and (self.user_id is None or record.head.user_id == self.user_id)
            and (self.org_id is None or record.org_id == self.org_id)
            and record.head.status in self.wanted
        )


@frozen
class RequestPage:
    """``end`` is where the next page goes on, ``None`` if nothing follows. A page may be empty and others follow."""

    requests: Sequence[RequestRecord]
    end: RequestPosition | None


def request_size(record: RequestRecord) -> int:
    """Bytes that count for the size of a page of requests: of whatever may be long."""
    failure = record.failure
    told = 0 if failure is None else len(failure.message) + len(encode_json(failure.details))
    return record.size + len(record.reason) + told


class Lists(ABC):
    """The part of the reads that lists conversations. A page ends at ``limit`` records or before their texts exceed
    ``max_bytes``, but has at least one of those that there are."""

    @abstractmethod
    async def list_items(
        self, which: ItemRange, *, limit: int, max_bytes: int, after: ItemPosition | None = None
    ) -> ItemPage | None:
        """Items from beyond ``after``; ``None`` unless that incarnation of the session lives.

        Costs a page, wherever it begins; with ``turns`` also what its first turn has.
        """

    @abstractmethod
    async def newest_turns(self, session: SessionKey, log_id: str, *, newest: int) -> tuple[int, int] | None:
        """The numbers of the oldest and the newest one of the ``newest`` turns; ``None`` if there is none."""

    @abstractmethod
    async def list_turns(
        self, session: SessionKey, log_id: str, *, limit: int, before: int | None = None
    ) -> Sequence[TurnRecord]:
        """Turns with numbers below ``before``, the newest first; at most ``limit``."""

    @abstractmethod
    async def list_requests(
        self, which: RequestFilter, *, limit: int, max_bytes: int, after: RequestPosition | None = None
    ) -> RequestPage:
        """Requests of sessions that live, from beyond ``after``.

        Looks at no more than :data:`SCANNED` of those that tenant, session and user leave, and at those created at the
        same time as the last. Where ``statuses`` are those of open requests only, and no session is named, at all that
        are open in the store instead.
        """
