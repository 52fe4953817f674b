"""Where the server may listen: beyond loopback only with TLS and credentials, or on explicit request."""

from __future__ import annotations

import ipaddress
import re
import socket

_HOST_AND_PORT = re.compile(r"(?:\[[^\]]+\]|[^:]*):(\d{1,5})")
_HIGHEST_PORT = 65535


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a gRPC listening address: ``host:port``, ``[v6]:port``, ``unix:...``."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_listening(address: str, *, tls: bool, credentials: bool, insecure: bool) -> None:
    """Raises ``ValueError`` where the server must not listen. ``credentials``: callers have to prove who they are."""
    if not address.startswith("unix"):
        found = _HOST_AND_PORT.fullmatch(address)
        if found is None:
            raise ValueError(f"{address} is no address to listen on: use HOST:PORT or unix:PATH")
        if int(found[1]) > _HIGHEST_PORT:  # gRPC would listen on its lowest 16 bits
            raise ValueError(f"{address} is no address to listen on: ports end at {_HIGHEST_PORT}")
    if insecure or is_loopback(address) or (tls and credentials):
        return
    lacking = " and ".join(
        name
        for name, there in (("a TLS certificate and key", tls), ("a token file", credentials))
        if not there
    )
    raise ValueError(
        f"refusing to listen on {address}: beyond loopback the server needs {lacking}; "
        "--insecure (FLOWSTATE_INSECURE=true) serves without, behind a proxy that does both"
    )


def why_not(address: str) -> str:
    """Why an address can't be listened on, which gRPC does not say: tried once more, with a socket that is given up."""
    if address.startswith("unix"):
        return "the path can't be written, or is too long"
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, int(port), type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(place)
                tried.listen(1)
    except PermissionError:
        return "no permission; ports below 1024 take a privilege (CAP_NET_BIND_SERVICE)"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "in use, or not an address of this machine"
