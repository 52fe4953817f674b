"""Sessions as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flowstate.v1 import session_service_pb2
from flowstate_client.models import plain_time, plain_value


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it was read. ``id`` is what everything else calls its ``session_id``, ``metadata`` is a plain JSON
    object, ``version`` counts changes of these fields, ``incarnation`` is another one each time the id is made anew."""

    id: str
    flow_kind: str
    user_id: str
    org_id: str
    title: str
    description: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    ephemeral: bool
    version: int
    create_time: datetime | None
    update_time: datetime | None
    last_activity_time: datetime | None
    incarnation: str = field(default="", compare=False, repr=False, kw_only=True)

    @classmethod
    def from_proto(cls, session: session_service_pb2.Session) -> Session:
        """The session of a ``flowstate.v1.Session``."""
        return cls(
            id=session.session_id,
            flow_kind=session.flow_kind,
            user_id=session.user_id,
            org_id=session.org_id,
            title=session.title,
            description=session.description,
            tags=tuple(session.tags),
            metadata=plain_value(session.metadata) or {},
            ephemeral=session.ephemeral,
            version=session.meta.version,
            create_time=plain_time(session.meta, "create_time"),
            update_time=plain_time(session.meta, "update_time"),
            last_activity_time=plain_time(session, "last_activity_time"),
            incarnation=session.meta.incarnation,
        )


@dataclass(frozen=True, slots=True)
class ResolvedSession(Session):
    """A session that was resolved; ``created`` if it was made by this call."""

    created: bool
