"""Errors about resources, beside those of :mod:`flowstate_client.errors`."""

from __future__ import annotations

from flowstate_client.errors import AlreadyExists, ResourceExhausted


class ResourceAlreadyExists(AlreadyExists):
    """There is a resource of that name."""


class TooManyResources(ResourceExhausted):
    """The owner, or the collection, has as many resources as it may."""
