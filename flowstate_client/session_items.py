"""The items of a session: what was said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowstate.v1 import session_service_pb2
from flowstate_client.arguments import identifier, identifiers, instances, number, optional_id
from flowstate_client.errors import ProtocolError
from flowstate_client.filters import audience_number
from flowstate_client.ids import idempotency_key_of
from flowstate_client.items import NewItem
from flowstate_client.models import Item
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.session_changes import SessionChanges

# The contract's limit of one call.
MAX_ITEMS = 500


class SessionItems(SessionChanges):
    """What ``client.sessions`` has of them."""

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
    ) -> AsyncPager[Item]:
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
        template = session_service_pb2.ListItemsRequest(
            session_id=identifier(session_id, "session_id"),
            request_id=optional_id(request_id, "request_id"),
            last_turns=number(last_turns, "last_turns"),
            audience=audience_number(audience),
            newest_first=newest_first,
            page_size=number(page_size, "page_size"),
        )

        async def fetch(token: str) -> Page[Item]:
            request = session_service_pb2.ListItemsRequest(page_token=token)
            request.MergeFrom(template)
            response = await self._caller.read("SessionService/ListItems", self._stub.ListItems, request)
            return Page([Item.from_proto(item) for item in response.items], response.next_page_token)

        return AsyncPager(fetch, page_token=page_token)

    async def append_items(
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
        given = instances(items, NewItem, "items", MAX_ITEMS)
        sent = [item.to_proto(self._caller.codec) for item in given]
        request = session_service_pb2.AppendItemsRequest(
            session_id=identifier(session_id, "session_id"),
            items=sent,
            request_id=optional_id(request_id, "request_id"),
            idempotency_key=idempotency_key_of(idempotency_key),
        )
        method = "SessionService/AppendItems"
        response = await self._caller.write(method, self._stub.AppendItems, request, timeout=timeout)
        if len(response.items) != len(sent):
            raise ProtocolError(f"added {len(sent)} items, got {len(response.items)}")
        if response.replayed:  # then the answer holds no more than the ids
            for item, stored in zip(sent, response.items, strict=True):
                item.item_id, item.request_id = stored.item_id, request_id
        return [Item.from_proto(item) for item in (sent if response.replayed else response.items)]

    async def remove_items(
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
        if [ids, newest, after].count(None) != 2:
            raise ValueError("give exactly one of ids, newest and after")
        request = session_service_pb2.RemoveItemsRequest(
            session_id=identifier(session_id, "session_id"),
            idempotency_key=idempotency_key_of(idempotency_key),
        )
        if ids is not None:
            request.ids.CopyFrom(session_service_pb2.ItemIds(item_ids=identifiers(ids, "ids", MAX_ITEMS)))
        elif newest is not None:
            request.newest = number(newest, "newest", least=1, most=MAX_ITEMS)
        else:
            request.after_item_id = identifier(after or "", "after")
        method = "SessionService/RemoveItems"
        response = await self._caller.write(method, self._stub.RemoveItems, request, timeout=timeout)
        return list(response.item_ids)
