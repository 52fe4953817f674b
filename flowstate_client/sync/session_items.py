"""The items of a session: what was said."""

# Written by .ci/codegen/sync_client.py from flowstate_client/session_items.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowstate_client import session_items as asynchronous
from flowstate_client.items import NewItem
from flowstate_client.models import Item
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.session_changes import SessionChanges


class SessionItems(SessionChanges):
    """What ``client.sessions`` has of them."""

    def __init__(self, thread: LoopThread, session_items: asynchronous.SessionItems) -> None:
        super().__init__(thread, session_items)
        self._session_items = session_items

    def items(
        self,
        session_id: str,
        *,
        request_id: str = "",
        last_turns: int = 0,
        audience: str | None = None,
        newest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pager[Item]:
        """The conversation: the items of the session in the order in which they were completed. Removed ones are left
        out.

        Args:
            request_id: Only those of this request.
            last_turns: Only those of so many newest turns, turn by turn. A turn is a completed request.
            audience: Only those for ``"client"``, ``"internal"`` or ``"history"``; the last two on the trusted plane.
            newest_first: The other way round.
            page_size: 0: the server's 50; at most 500.

        Raises (when it is used):
            SessionNotFound: no such session for this caller; ``RequestNotFound`` likewise.
            ValidationFailed: ``request_id`` together with ``last_turns``.
        """
        return Pager(
            self._thread,
            self._session_items.items(
                session_id,
                request_id=request_id,
                last_turns=last_turns,
                audience=audience,
                newest_first=newest_first,
                page_size=page_size,
                page_token=page_token,
            ),
        )

    def append_items(
        self,
        session_id: str,
        items: Iterable[NewItem],
        *,
        request_id: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Sequence[Item]:
        """Adds up to 500 items in order, all or none, exactly once however often the call has to be repeated. Trusted
        plane only.

        They are one turn of the conversation; with ``request_id``, of a request that has not ended, they are items of
        that. With an ``idempotency_key`` of your own, a second call with the same content adds nothing and gives the
        items of the first, for 24 hours and from whatever process; of these ``create_time`` is ``None``.

        Raises:
            IdempotencyKeyReused: the key was used for other content.
            RequestTerminal: the request has ended.
            SessionNotFound: no such session for this caller; ``RequestNotFound`` likewise.
            TooLarge: the content of an item, or of all of them together.
            ValidationFailed: an item that is not as :class:`NewItem` says.
            ValueError: no item, too many, or one that cannot be sent.
        """
        return self._thread.run(
            self._session_items.append_items(
                session_id, items, request_id=request_id, idempotency_key=idempotency_key, timeout=timeout
            )
        )

    def remove_items(
        self,
        session_id: str,
        ids: Iterable[str] | None = None,
        *,
        newest: int | None = None,
        after: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Sequence[str]:
        """Removes the content of items for good, all or none, and gives their ids. Trusted plane only.

        Exactly one of ``ids``, ``newest`` (so many of the newest items, 1 to 500) and ``after`` (all that come after
        the item of that id) says which, at most 500 in one call; those that are removed already are passed over. A turn
        of which no item is left does not count any more, and input and output of its request are gone, too.

        Raises:
            IdempotencyKeyReused: the key was used for another call.
            NotFound: the session has no such item.
            PreconditionError: one of the items is of a request that has not ended.
            SessionNotFound: no such session for this caller.
            ValueError: not exactly one of the three is given.
        """
        return self._thread.run(
            self._session_items.remove_items(
                session_id, ids, newest=newest, after=after, idempotency_key=idempotency_key, timeout=timeout
            )
        )
