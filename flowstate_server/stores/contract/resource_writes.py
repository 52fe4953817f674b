"""Writes of resources. Their owner is named with its incarnation, by which all that they need is known ahead."""

from __future__ import annotations

from collections.abc import Callable

from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import Generations
from flowstate_server.model.resources import ContentRecord, PlacedResource, ResourceOwner, ResourceRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.writes import NoChange, Precondition, Write


class ResourceMoved(Exception):
    """What the write was made for is not what is stored any more: the record of the user or org, the resource, or the
    oldest of its collection. Read it again and decide anew."""


@frozen
class ResourceChanged:
    """What a resource is to be from now on. ``text`` is the JSON text of ``state``."""

    state: JsonObject
    text: bytes
    content: ContentRecord | None
    media_type: str
    events: tuple[Event, ...] = ()


ResourceChange = Callable[[ResourceRecord], ResourceChanged | NoChange]
"""As ``Change``, of a resource: a pure function of the newest record."""

Gone = Callable[[ResourceRecord], tuple[Event, ...]]
"""What is told of a resource that is deleted."""


@frozen
class Collected:
    """The collection that a resource is made in: at most ``most`` are in it; one more takes the place of ``oldest``,
    which was found to be the first of them, or is refused if it ``evicts`` none."""

    pattern: str
    most: int | None = None
    evicts: bool = False
    oldest: PlacedResource | None = None


@frozen
class ChangeResource(Write):
    """Replace a resource, or make one, by what ``change`` makes of the newest record: state, content and media type are
    of one version.

    The owner must be there in the incarnation named: else ``SessionNotFoundError`` or ``SessionChanged`` of a session,
    :class:`ResourceMoved` of a user or org. With ``founds`` there is no record of that user or org yet: it is made with
    this incarnation and these generations, unless the batch has done so, at version 1, without an event;
    ``ScopeUnavailableError`` if one was deleted since it was absent at version ``absent_at``, where that is given.

    ``incarnation``, if given, must be that of the resource, else ``ResourceDeletedError``. ``precondition`` failing:
    ``VersionMismatchError``; ``ResourceAlreadyExistsError`` where it was to be absent. A new one beyond what the
    ``collected`` or the owner may have: ``TooManyResourcesError``.

    Content that ``change`` refers to anew must be in ``blob``, which is refused with ``BlobUnavailable`` unless it is
    complete and nothing refers to it; what is not referred to any more is released. Events go where those of
    ``ChangeState`` go; tombstones are ``remembered`` for that long.
    """

    owner: ResourceOwner
    name: str
    change: ResourceChange
    remembered: Micros
    precondition: Precondition | None = None
    incarnation: str = ""
    request: RequestKey | None = None
    blob: BlobKey | None = None
    collected: Collected | None = None
    gone: Gone = lambda _: ()
    founds: Generations | None = None
    absent_at: int | None = None


@frozen
class DeleteResource(Write):
    """Make a resource a tombstone, which keeps the version, and let go of its content; no change if there is none.

    Owner, ``incarnation`` and events as with :class:`ChangeResource`, and the ``precondition``, but that with
    ``allow_missing`` none is asked of what is not there. ``number`` is that of the resource as it was read, 0 if there
    was none: :class:`ResourceMoved` if it is another one by now.
    """

    owner: ResourceOwner
    name: str
    number: int
    remembered: Micros
    precondition: Precondition | None = None
    incarnation: str = ""
    allow_missing: bool = False
    collection: str = ""
    request: RequestKey | None = None
    gone: Gone = lambda _: ()
