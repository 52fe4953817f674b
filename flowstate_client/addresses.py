"""The servers of a fleet, named one by one."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from flowstate_client.errors import ConnectError

EXAMPLE = "127.0.0.1:7437"

_LAST_PORT = 65_535
_HOST_PORT = re.compile(r"(\[[^\]/\s]+\]|[^\s:/\[\],]+):(?P<port>[0-9]{1,5})")
_OTHER_TARGET = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):\S+")
_LISTED = re.compile(r"(?P<scheme>ipv[46]:(?:///)?)(?P<first>[^,]+),(?P<others>.+)")
_FOREIGN_SCHEMES = frozenset(("http", "https", "grpc", "grpcs", "tcp"))
_SCHEMES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def checked_targets(target: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses to connect to.

    Raises:
        TypeError: something is not text.
        ValueError: there is none, one is no address, or one of several is not ``host:port``.
    """
    if isinstance(target, str):
        return (check_address(target),)
    given: Any = target
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise TypeError(f"target must be an address such as {EXAMPLE} or several, not {given!r}")
    targets = tuple(given)
    if not targets:
        raise ValueError(f"target must be at least one address such as {EXAMPLE}")
    for one in targets:
        if not isinstance(one, str):
            raise TypeError(f"each target must be text such as {EXAMPLE}, not {one!r}")
        check_address(one)
        if len(targets) > 1 and not _HOST_PORT.fullmatch(one):
            raise ValueError(f"each of several targets must be host:port, not {one!r}")
    return targets


def check_address(address: str, name: str = "target") -> str:
    """``address``, if it is ``host:port`` with a port of 1 to 65535, or has a scheme of gRPC such as ``unix:``.

    Raises:
        ValueError: it is neither; names it, and what it is for by ``name``.
    """
    scheme, separator, rest = address.partition("://")
    if separator and scheme.lower() in _FOREIGN_SCHEMES:
        bare = rest.rstrip("/")
        raise ValueError(f"{name} {address!r}: give {bare} without {scheme}://; TLS is an option of its own")
    named = _HOST_PORT.fullmatch(address)
    if named and 1 <= int(named["port"]) <= _LAST_PORT:
        return address
    if named or not _OTHER_TARGET.fullmatch(address):
        raise ValueError(f"{name} {address!r} must be host:port, for example {EXAMPLE}, or unix:path")
    return address


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


def turned(target: str) -> str:
    """The same addresses for gRPC with the first of them as the last. What lists none stays as it is."""
    listed = _LISTED.fullmatch(target)
    return target if listed is None else f"{listed['scheme']}{listed['others']},{listed['first']}"


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
