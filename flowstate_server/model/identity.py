"""Who calls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NewType

from flowstate_server.model.json_values import Json, encode_json
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
    ``name`` tells apart those of one tenant that are the same in all else, and is what logs call them.
    """

    tenant: Tenant = NO_TENANT
    user: str = ""
    org: str = ""
    plane: Plane = Plane.CLIENT
    name: str = ""

    @property
    def key(self) -> str:
        """Tells it from all others of its tenant, by everything that it is: what it has begun or said is remembered
        under it, and found by nobody who may see less, more or something else."""
        parts: Json = [self.user, self.org, self.plane, self.name]
        return hashlib.sha256(encode_json(parts)).hexdigest()[:32]
