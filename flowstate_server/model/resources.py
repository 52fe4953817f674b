"""Resources: named containers in session, user or org scope, with a state and a content under one version."""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKey

MAX_NAME_BYTES = 512
MAX_OF_OWNER = 10_000


class ResourceKey(NamedTuple):
    """``scope`` is that of the owner: a session, or a user or org, isolated or not."""

    scope: ScopeKey
    name: str


@frozen
class ContentRecord:
    """The content of one version: a complete blob that nothing else refers to. ``sha256`` is lower-case hex."""

    blob: BlobKey
    size: int
    sha256: str


@frozen
class ResourceRecord:
    """A resource at one version, or the tombstone of one (``exists`` false: neither state nor content).

    ``version`` grows by 1 with each commit that changes state, content or media type, and goes on over deletes; 0: never
    written. ``incarnation`` is a new random text for each creation. Don't modify ``state``.
    """

    key: ResourceKey
    version: int = 0
    incarnation: str = ""
    exists: bool = False
    state: JsonObject = field(default_factory=dict)
    content: ContentRecord | None = None
    media_type: str = ""
    create_time: Micros = Micros(0)
    update_time: Micros = Micros(0)
