"""The port that several processes share, held by the one that starts them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

# Of a name that stands for addresses of which this machine has not all, as localhost may.
_NOT_HERE = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


def reserve_port(address: str, *, among_others: bool) -> tuple[Sequence[socket.socket], int]:
    """Sockets that are bound to ``host:port`` and do not listen, and the port: port 0 stands for a free one.

    As long as they are open, processes of this user that ask for it share the port, and other programs are refused,
    also while nobody listens. ``among_others``: some may share it already, such as another server.

    Raises:
        OSError: somebody has the port, or it is none of this machine.
    """
    host, _, text = address.rpartition(":")
    port = int(text)
    places = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    held: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, place in places:
        try:
            held.append(
                _bound(socket.socket(family, kind, protocol), (place[0], port, *place[2:]), among_others)
            )
        except OSError as error:
            problem = error
            if error.errno not in _NOT_HERE:
                break
        else:
            port = held[-1].getsockname()[1]
    if problem is not None and (not held or problem.errno not in _NOT_HERE):
        for one in held:
            one.close()
        raise problem
    return held, port


def _bound(one: socket.socket, place: tuple[object, ...], among_others: bool) -> socket.socket:
    """Linux asks the sockets that are bound already what they share, at the moment when another one is to be bound. So
    it is bound for itself, which fails if anybody has the port, and shares it from then on."""
    try:
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(among_others))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections do not count
        one.bind(place)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        one.close()
        raise
    return one
