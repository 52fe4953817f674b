"""Items to add to a conversation from outside. Trusted plane only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowstate.v1 import events_pb2
from flowstate_client.codec import Codec
from flowstate_client.filters import item_audiences
from flowstate_client.json_profile import check_text
from flowstate_client.proof import proven_text


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to add.

    Attributes:
        kind: ``message``, ``reasoning``, ``tool_call``, ``tool_output``, ``error`` or ``custom``.
        content: What its kind has, for example ``{"parts": [{"type": "text", "text": "Hello"}]}``; up to 1 MiB.
        role: Who speaks, for a message.
        name: The tool of a tool call, the sort of a custom item.
        audiences: ``"client"``, ``"history"`` or both, which is the default: clients see it. ``()``: the trusted plane
            alone.
    """

    kind: str
    content: Any
    role: str = ""
    name: str = ""
    audiences: Sequence[str] = ("client", "history")

    @classmethod
    def message(cls, role: str, text: str) -> NewItem:
        """A message of text, for clients and the history."""
        return cls("message", {"parts": [{"type": "text", "text": text}]}, role)

    def to_proto(self, codec: Codec) -> events_pb2.Item:
        """The item as a ``flowstate.v1.Item``.

        Raises:
            TypeError: a field has the wrong type.
            ValueError: it can't be sent, or there is no such audience.
        """
        item = events_pb2.Item(
            kind=check_text(self.kind, "kind"),
            role=check_text(self.role, "role"),
            name=check_text(self.name, "name"),
            audiences=item_audiences(self.audiences),
        )
        item.content.json = proven_text(self.content, codec)
        return item
