"""The servers of a fleet, named one by one."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence

import grpc

from flowstate_client.errors import ConnectError

_SCHEMES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def checked_targets(target: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses to connect to.

    Raises:
        ValueError: there is none, one has a space in it, or one of several is not ``host:port``.
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    for one in targets:
        if not one or any(character.isspace() for character in one):
            raise ValueError("target must be an address such as 127.0.0.1:7437")
        if len(targets) > 1 and not _port(one).isdecimal():
            raise ValueError(f"each of several targets must be host:port, not {one}")
    if not targets:
        raise ValueError("target must be at least one address such as 127.0.0.1:7437")
    return targets


async def joined(targets: Sequence[str]) -> str:
    """One gRPC target for all: the first in random order that can be reached is used, the others stand by.

    Raises:
        ConnectError: a name has no address, or the names have none of the same family.
    """
    if len(targets) == 1:
        return targets[0]
    found = [await _addresses(target) for target in targets]
    for family, scheme in _SCHEMES.items():
        if all(family in addresses for addresses in found):
            one_each = [addresses[family] for addresses in found]
            return f"{scheme}:{','.join(random.sample(one_each, len(one_each)))}"
    raise ConnectError(
        "the targets have no address of one family, IPv4 or IPv6, in common", code=grpc.StatusCode.UNAVAILABLE
    )


async def _addresses(target: str) -> dict[int, str]:
    """The first address of each family."""
    host, port = target.rpartition(":")[0].strip("[]"), _port(target)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(f"{host} has no address: {error}", code=grpc.StatusCode.UNAVAILABLE) from None
    addresses: dict[int, str] = {}
    for family, _, _, _, place in found:
        ip = f"[{place[0]!s}]" if family == socket.AF_INET6 else str(place[0])
        addresses.setdefault(family, f"{ip}:{port}")
    return addresses


def _port(target: str) -> str:
    return target.rpartition(":")[2]
