"""Items: what a request adds to its session's history."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.word import Word


class ItemKind(Word):
    MESSAGE = "message"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    TOOL_OUTPUT = "tool_output"
    ERROR = "error"
    CUSTOM = "custom"


class Audience(Word):
    """For whom an item or event is: clients, the model's history, or the server side only."""

    CLIENT = "client"
    INTERNAL = "internal"
    HISTORY = "history"


FOR_CLIENTS = frozenset((Audience.CLIENT,))
INTERNAL = frozenset((Audience.INTERNAL,))
_OUTSIDE = frozenset((Audience.CLIENT, Audience.HISTORY))


def checked_audiences(given: Iterable[Audience]) -> frozenset[Audience]:
    """Those of an item. One alone is no list of them: as a text it is one of letters.

    Raises:
        ValidationFailedError: it is no list, or has what is no audience.
    """
    try:
        if not isinstance(given, str):
            return frozenset(map(Audience, given))
    except (TypeError, ValueError):
        pass
    problem = "must be a list of client, internal and history"
    raise ValidationFailedError((Violation("audiences", "list_type", problem),))


def is_for(audiences: frozenset[Audience], audience: Audience) -> bool:
    """Whether an item or event with these audiences is for ``audience``; ``INTERNAL`` gets what is for nobody else."""
    return audiences.isdisjoint(_OUTSIDE) if audience is Audience.INTERNAL else audience in audiences


@frozen
class Item:
    """An item as a run makes it. ``content`` is JSON text; ``index`` counts from 0 in its request.

    Content by kind: ``message`` ``{"parts": [{"type": "text", "text": ...}, ...]}``; ``reasoning`` ``{"text": ...}``;
    ``tool_call`` ``{"call_id", "arguments"}``; ``tool_output`` ``{"call_id", "output"}``; ``error`` ``{"message"}``;
    ``custom`` any JSON. A ``removed`` one has no content left.
    """

    item_id: str
    kind: ItemKind
    index: int
    content: bytes
    role: str = ""
    name: str = ""
    audiences: frozenset[Audience] = frozenset((Audience.CLIENT, Audience.HISTORY))
    removed: bool = False


@frozen
class ItemRecord:
    """An item as reads give it. What is kept of it is appended once, and rewritten by its removal alone.

    ``session_sequence`` and ``create_time`` are those of its ``item.done`` event; ``turn``, the number of its turn, is
    not kept but filled in when it is read.
    """

    item: Item
    session: SessionKey
    session_log_id: str
    request_id: str
    session_sequence: int
    create_time: Micros
    turn: int = 0
