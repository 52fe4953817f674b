"""Profiles: named sets of stores, of which a server serves one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.store import Store

DEFAULT = "default"
PRIMARY = "primary"
BLOBS = "blobs"
RESERVED = frozenset(("queue", "scheduler"))
"""Slots that are taken and not used yet."""

StoreProfile = Store | Mapping[str, Store | BlobPieces]
"""A store, or the parts of a profile by slot. The slot ``primary`` is required; a bare store is taken as it. The slot
``blobs`` takes what keeps pieces of large content (``stores.blobs.BlobFolder``), where the primary store is not to."""


def primaries(stores: Mapping[str, StoreProfile]) -> dict[str, Store]:
    """The primary store of each profile.

    Raises:
        TypeError: something is not a store or a mapping.
        ValueError: there is no default profile, a profile has no primary store or a slot that is unknown.
    """
    if not isinstance(stores, Mapping):
        raise TypeError(f"stores must map profiles to stores, {_for_example(stores)}")
    if DEFAULT not in stores:
        others = f"not only {', '.join(map(repr, sorted(stores)))}" if stores else "and there are none"
        raise ValueError(f"stores must hold the profile {DEFAULT!r}, {others}")
    return {name: _primary(name, profile) for name, profile in stores.items()}


def blobs_of(profile: StoreProfile) -> BlobPieces | None:
    """What keeps the pieces of blobs in the profile: its slot for them, else its primary store, which must be open."""
    if isinstance(profile, Store):
        return profile.pieces
    if BLOBS in profile:
        return cast(BlobPieces, profile[BLOBS])
    return cast(Store, profile[PRIMARY]).pieces


def blob_slots(stores: Mapping[str, StoreProfile]) -> dict[str, BlobPieces]:
    """What fills the slot for blobs of each profile that has one."""
    return {
        name: cast(BlobPieces, profile[BLOBS])
        for name, profile in stores.items()
        if not isinstance(profile, Store) and BLOBS in profile
    }


def _primary(name: str, profile: StoreProfile) -> Store:
    if isinstance(profile, Store):
        return profile
    if not isinstance(profile, Mapping):
        raise TypeError(f"a store profile is a store or maps slots to stores, {_for_example(profile)}")
    unknown = sorted(profile.keys() - RESERVED - {PRIMARY, BLOBS})
    if unknown:
        known = ", ".join([PRIMARY, BLOBS, *sorted(RESERVED)])
        raise ValueError(
            f"the store profile {name!r} has unknown slots: {', '.join(unknown)} (there are {known})"
        )
    if PRIMARY not in profile:
        raise ValueError(f"the store profile {name!r} lacks the slot {PRIMARY!r}")
    for slot, part in profile.items():
        if slot == BLOBS and not isinstance(part, BlobPieces):
            kind = type(part).__name__
            raise TypeError(
                f"the slot {BLOBS!r} must keep pieces, as BlobFolder(path), not a value of type {kind}"
            )
        if slot != BLOBS and not isinstance(part, Store):
            raise TypeError(f"the slot {slot!r} must be a store, {_for_example(part)}")
    return cast(Store, profile[PRIMARY])


def _for_example(value: object) -> str:
    kind = type(value).__name__
    return f"not a value of type {kind}; for a URL use stores={{{DEFAULT!r}: store_from_url(url)}}"
