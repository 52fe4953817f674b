"""Who calls: an authenticator turns call metadata and peer into a principal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Protocol

from flowstate_server.errors import AccessDeniedError, CredentialsInvalidError, MetadataInvalidError
from flowstate_server.model.identity import Plane, Principal, Tenant
from flowstate_server.rpc.call_metadata import ORG_KEY, TENANT_KEY, USER_KEY, CallMetadata

PLANE_KEY = "x-flowstate-plane"
# Callers by their metadata; when it is full it is begun anew, for to find the oldest costs more than to read metadata
# again.
REMEMBERED = 1_000


class Authenticator(Protocol):
    """Decides who a caller is. Called once for each call, before anything else is looked at."""

    async def authenticate(self, metadata: CallMetadata, peer: str) -> Principal:
        """The verified caller.

        Raises:
            CredentialsInvalidError: there are no valid credentials.
            AccessDeniedError: the metadata claims what the credentials do not cover.
            MetadataInvalidError: a value is empty, repeated or malformed.
        """
        ...


class OpenAuthenticator:
    """Believes the metadata: ``x-tenant-id``, ``x-flowstate-user``, ``x-flowstate-org``, ``x-flowstate-plane``;
    ids that are not ASCII as UTF-8 in ``x-flowstate-user-bin`` and ``x-flowstate-org-bin``.

    Without a user the caller may act for any user of the tenant, as a trusted gateway does; without a plane it is on
    the client plane. For loopback and for networks where only your own gateway can reach the server.
    """

    def __init__(self, tenant_key: str = TENANT_KEY) -> None:
        self._tenant_key = tenant_key
        self._keys = (tenant_key, USER_KEY, ORG_KEY, PLANE_KEY)
        self._known: dict[tuple[tuple[str, ...], ...], Principal] = {}

    async def authenticate(self, metadata: CallMetadata, peer: str) -> Principal:
        claims = metadata.as_sent(self._keys)
        principal = self._known.get(claims)
        if principal is None:
            principal = self._principal(metadata)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[claims] = principal
        return principal

    def _principal(self, metadata: CallMetadata) -> Principal:
        user = metadata.identifier(USER_KEY)
        return Principal(
            tenant=Tenant(metadata.tenant(self._tenant_key) or ""),
            user=user,
            org=metadata.identifier(ORG_KEY),
            plane=_plane(metadata),
            name=user,
        )


class TokenAuthenticator:
    """Knows principals by bearer tokens (``authorization: Bearer ...``), of which it keeps only the SHA-256.

    ``x-tenant-id`` may be given and must then be the token's tenant, likewise user and org; the plane is the token's.
    """

    def __init__(self, principals: Iterable[tuple[bytes, Principal]], tenant_key: str = TENANT_KEY) -> None:
        self._principals = tuple(principals)
        self._tenant_key = tenant_key

    def replace(self, principals: Iterable[tuple[bytes, Principal]]) -> None:
        """Know these from now on, and no others."""
        self._principals = tuple(principals)

    def revoked(self) -> Callable[[CallMetadata, Principal], bool]:
        """Whether a call that came as some principal would not be that one any more, by the tokens known now."""
        known = dict(self._principals)

        def is_revoked(metadata: CallMetadata, principal: Principal) -> bool:
            return known.get(_credentials(metadata)[1]) != principal

        return is_revoked

    async def authenticate(self, metadata: CallMetadata, peer: str) -> Principal:
        principal = self._find(metadata)
        claims = (
            (self._tenant_key, metadata.tenant(self._tenant_key), principal.tenant),
            (USER_KEY, metadata.single(USER_KEY), principal.user),
            (ORG_KEY, metadata.single(ORG_KEY), principal.org),
            (PLANE_KEY, metadata.single(PLANE_KEY), principal.plane),
        )
        for key, claimed, bound in claims:
            if claimed is not None and claimed != bound:
                raise AccessDeniedError(f"{key} is not what the credentials are for")
        return principal

    def _find(self, metadata: CallMetadata) -> Principal:
        valid, digest = _credentials(metadata)
        found = None
        for known, principal in self._principals:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None or not valid:
            raise CredentialsInvalidError()
        return found


def _credentials(metadata: CallMetadata) -> tuple[bool, bytes]:
    """Whether there is a bearer token, and the SHA-256 of what is in its place."""
    scheme, _, token = (metadata.single("authorization") or "").partition(" ")
    token = token.strip()
    return bool(token) and scheme.lower() == "bearer", hashlib.sha256(token.encode()).digest()


def _plane(metadata: CallMetadata) -> Plane:
    value = metadata.single(PLANE_KEY)
    if value is None:
        return Plane.CLIENT
    try:
        return Plane(value)
    except ValueError:
        raise MetadataInvalidError(PLANE_KEY, "must be client or trusted") from None
