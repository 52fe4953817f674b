"""What a schema says of values that are stored already."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json


@frozen
class Reading:
    """Stored values as a schema reads them.

    ``values`` are the JSON forms of those that read as something else than is stored, ``unreadable`` the names of those
    that do not fit the schema, or not any more.
    """

    values: Mapping[str, Json]
    unreadable: frozenset[str]


AS_STORED = Reading({}, frozenset())
"""All that was asked for reads as it is stored."""
