from __future__ import annotations

import hashlib

import pytest

from flowstate_server.errors import (
    AccessDeniedError,
    CredentialsInvalidError,
    MetadataInvalidError,
    ServiceError,
)
from flowstate_server.model.identity import NO_TENANT, Plane, Principal, Tenant
from flowstate_server.rpc.authenticators import OpenAuthenticator, TokenAuthenticator
from flowstate_server.rpc.call_metadata import CallMetadata

Pairs = list[tuple[str, str | bytes]]

ANNE = Principal(tenant=Tenant("acme"), user="anne", org="o1", plane=Plane.CLIENT, name="anne's phone")
GATEWAY = Principal(tenant=NO_TENANT, plane=Plane.TRUSTED, name="gateway")
TOKENS = TokenAuthenticator(
    [(hashlib.sha256(b"anne-token").digest(), ANNE), (hashlib.sha256(b"gate-token").digest(), GATEWAY)]
)
BEARER: Pairs = [("authorization", "Bearer anne-token")]


async def _open(*pairs: tuple[str, str | bytes]) -> Principal:
    return await OpenAuthenticator().authenticate(CallMetadata(pairs), "ipv4:127.0.0.1:1")


async def _tokens(*pairs: tuple[str, str | bytes]) -> Principal:
    return await TOKENS.authenticate(CallMetadata(pairs), "ipv4:127.0.0.1:1")


async def test_open_believes_the_metadata() -> None:
    assert await _open() == Principal()
    principal = await _open(
        ("x-tenant-id", "acme"),
        ("x-flowstate-user", "a|b:c@d"),
        ("x-flowstate-org", "o1"),
        ("x-flowstate-plane", "trusted"),
    )
    assert principal == Principal(Tenant("acme"), "a|b:c@d", "o1", Plane.TRUSTED, "a|b:c@d")


@pytest.mark.parametrize("tenant", ["a", "A.b_c-9", "0" * 128])
async def test_a_tenant_as_it_should_be(tenant: str) -> None:
    assert (await _open(("x-tenant-id", tenant))).tenant == tenant


@pytest.mark.parametrize(
    "pairs",
    [
        [("x-tenant-id", "")],
        [("x-tenant-id", "a"), ("x-tenant-id", "a")],
        [("x-tenant-id", "a"), ("x-tenant-id", "b")],
        [("x-tenant-id", "-a")],
        [("x-tenant-id", "a b")],
        [("x-tenant-id", "a,b")],
        [("x-tenant-id", "a/b")],
        [("x-tenant-id", "ü")],
        [("x-tenant-id", "a\n")],
        [("x-tenant-id", "0" * 129)],
        [("x-flowstate-user", "")],
        [("x-flowstate-user", "u" * 129)],
        [("x-flowstate-user", "a\x00b")],
        [("x-flowstate-org", "a"), ("x-flowstate-org", "b")],
        [("x-flowstate-plane", "root")],
        [("x-flowstate-plane", "")],
    ],
)
async def test_metadata_that_is_wrong_is_refused_not_ignored(pairs: Pairs) -> None:
    with pytest.raises(MetadataInvalidError) as refusal:
        await _open(*pairs)
    assert refusal.value.key == pairs[0][0]


async def test_another_key_can_name_the_tenant() -> None:
    metadata = CallMetadata([("x-team", "a"), ("x-tenant-id", "b")])
    assert (await OpenAuthenticator("x-team").authenticate(metadata, "")).tenant == "a"


async def test_a_token_stands_for_its_principal() -> None:
    assert await _tokens(*BEARER) == ANNE
    assert await _tokens(("authorization", "bearer gate-token")) == GATEWAY
    assert await _tokens(*BEARER, ("x-tenant-id", "acme"), ("x-flowstate-user", "anne")) == ANNE


@pytest.mark.parametrize(
    ("pairs", "refusal"),
    [
        ([], CredentialsInvalidError),
        ([("authorization", "Bearer wrong")], CredentialsInvalidError),
        ([("authorization", "Bearer ")], CredentialsInvalidError),
        ([("authorization", "Basic anne-token")], CredentialsInvalidError),
        ([("authorization", "anne-token")], CredentialsInvalidError),
        ([*BEARER, *BEARER], MetadataInvalidError),
        ([*BEARER, ("x-tenant-id", "other")], AccessDeniedError),
        ([*BEARER, ("x-tenant-id", "")], MetadataInvalidError),
        ([*BEARER, ("x-flowstate-user", "bob")], AccessDeniedError),
        ([*BEARER, ("x-flowstate-org", "o2")], AccessDeniedError),
        ([*BEARER, ("x-flowstate-plane", "trusted")], AccessDeniedError),
        ([("authorization", "Bearer gate-token"), ("x-tenant-id", "acme")], AccessDeniedError),
    ],
)
async def test_a_claim_beyond_the_token_is_refused(pairs: Pairs, refusal: type[ServiceError]) -> None:
    with pytest.raises(refusal):
        await _tokens(*pairs)


async def test_a10_no_token_is_no_token_even_where_its_hash_is_known() -> None:
    careless = TokenAuthenticator([(hashlib.sha256(b"").digest(), GATEWAY)])
    for value in ("Bearer", "Bearer ", "Bearer    "):
        with pytest.raises(CredentialsInvalidError):
            await careless.authenticate(CallMetadata([("authorization", value)]), "ipv4:127.0.0.1:1")


async def test_u7_ids_beyond_ascii_come_as_bytes() -> None:
    principal = await _open(("x-flowstate-user-bin", "zoë 😀".encode()), ("x-flowstate-org-bin", b" o"))
    assert (principal.user, principal.org) == ("zoë 😀", " o")


@pytest.mark.parametrize(
    "pairs",
    [
        [("x-flowstate-user-bin", b"\xff")],
        [("x-flowstate-user-bin", b"")],
        [("x-flowstate-user-bin", b"a\nb")],
        [("x-flowstate-user-bin", b"a" * 129)],
        [("x-flowstate-user-bin", b"a"), ("x-flowstate-user", "a")],
        [("x-flowstate-org-bin", b"\xed\xa0\x80")],
    ],
)
async def test_u7_bytes_that_are_no_id_are_refused(pairs: Pairs) -> None:
    with pytest.raises(MetadataInvalidError) as refused:
        await _open(*pairs)
    assert refused.value.key in ("x-flowstate-user", "x-flowstate-org")


async def test_u7_a_token_covers_what_is_claimed_as_bytes() -> None:
    assert await _tokens(*BEARER, ("x-flowstate-user-bin", b"anne")) == ANNE
    with pytest.raises(AccessDeniedError):
        await _tokens(*BEARER, ("x-flowstate-user-bin", "zoë".encode()))
