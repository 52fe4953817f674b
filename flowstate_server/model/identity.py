"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from flowstate_server.model.word import Word

Tenant = NewType("Tenant", str)
"""A tenant's name."""

NO_TENANT = Tenant("")
"""The space of those who have none."""


class Plane(Word):
    """What a caller may see: only what flows expose (``CLIENT``), or everything in its tenant (``TRUSTED``)."""

    CLIENT = "client"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    ``user`` and ``org`` are empty when the caller may act for any user or org of its tenant, as a trusted gateway does.
    ``name`` tells principals of one tenant apart (it scopes idempotency keys and page tokens).
    """

    tenant: Tenant = NO_TENANT
    user: str = ""
    org: str = ""
    plane: Plane = Plane.CLIENT
    name: str = ""
