"""Reads and writes of resources from outside a run."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.word import Word
from flowstate_server.stores.contract.writes import Precondition

MAX_INLINE_BYTES = 1024 * 1024
"""Of content that travels in one message with everything else."""


class Shown(Word):
    """How much of a resource is asked for: as much as the caller's plane may see, everything, what clients see."""

    PLANE = "plane"
    FULL = "full"
    CLIENT = "client"


@frozen
class ResourceRef:
    """A resource as a caller names it: its owner, with the flow that declares it, and its name."""

    scope: ScopeTarget
    name: str


@frozen
class ResourceAnswer:
    """A resource as the caller may see it. ``state`` is JSON text, ``None`` where there is nothing to see of it; of
    content that is not shown there is no size either. ``content`` is there where it was asked for and is short."""

    scope: ScopeTarget
    record: ResourceRecord
    state: bytes | None
    content: bytes = b""
    content_shown: bool = True


@frozen
class ResourceQuery:
    """Which resources to list. ``page_size`` as sent (0: default)."""

    scope: ScopeTarget
    prefix: str = ""
    page_size: int = 0
    page_token: str = ""
    shown: Shown = Shown.PLANE


@frozen
class ResourcePage:
    resources: Sequence[ResourceAnswer]
    next_page_token: str


@frozen
class ResourcePut:
    """New values of some fields: ``state`` and ``media_type`` that are ``None`` and ``content`` that is ``None`` stay;
    ``clear_content``: there is none from now on. ``fingerprint`` is that of the message as sent."""

    resource: ResourceRef
    state: JsonObject | None = None
    content: bytes | None = None
    clear_content: bool = False
    media_type: str | None = None
    precondition: Precondition | None = None
    idempotency_key: str = ""
    fingerprint: str = ""
    request_id: str = ""


@frozen
class ResourceWasPut:
    """``resource`` has the name and version only when ``replayed``."""

    resource: ResourceAnswer
    changed: bool
    replayed: bool = False


@frozen
class ContentPiece:
    """A piece of an upload that begins at byte ``position``; with ``finish`` the last one."""

    resource: ResourceRef
    upload_id: str
    position: int
    data: bytes
    finish: bool = False
    sha256: str = ""
    media_type: str = ""
    precondition: Precondition | None = None
    request_id: str = ""


@frozen
class ContentReceived:
    """Bytes received so far; once finished the resource, and whether the upload changed it."""

    received: int
    resource: ResourceAnswer | None = None
    changed: bool = False


@frozen
class ContentRead:
    resource: ResourceRef
    position: int = 0
    if_sha256: str = ""


@frozen
class ContentPart:
    """Part of a stream of content; ``resource`` is in the first one only."""

    position: int
    data: bytes
    resource: ResourceAnswer | None = None


@frozen
class ResourceDeletion:
    """With ``allow_missing`` a resource that is not there is fine."""

    resource: ResourceRef
    precondition: Precondition | None = None
    allow_missing: bool = False
    request_id: str = ""
