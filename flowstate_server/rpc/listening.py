"""Where the server may listen: beyond loopback only with TLS and credentials, or on explicit request."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Iterator

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


def refusal(address: str) -> OSError:
    """Why an address can't be listened on, which gRPC does not say: tried once more, with a socket that is given up.

    A ``PermissionError`` where another attempt is as vain.
    """
    if address.startswith("unix"):
        return PermissionError(f"can't listen on {address}: the path can't be written, or is too long")
    try:
        failed = next((error for error in _attempts(address) if error is not None), None)
    except OSError as error:  # the name is not known
        failed = error
    if isinstance(failed, PermissionError):
        why = "no permission; ports below 1024 take a privilege (CAP_NET_BIND_SERVICE)"
        return PermissionError(f"can't listen on {address}: {why}")
    unknown = "in use, or not an address of this machine"
    why = unknown if failed is None else (failed.strerror or str(failed)).lower()
    return OSError(f"can't listen on {address}: {why}")


def check_free(address: str, *, shared: bool) -> None:
    """
    Raises:
        OSError: another process listens there already, and the port is not ``shared``. Whatever else is wrong with
            the address shows when it is listened on.
    """
    if address.startswith("unix") or address.endswith(":0"):
        return
    try:
        failures = list(_attempts(address, shared=shared))
    except OSError:
        return
    if all(error is not None and error.errno == errno.EADDRINUSE for error in failures):
        raise refusal(address)


def _attempts(address: str, *, shared: bool = False) -> Iterator[OSError | None]:
    """What listening fails of, for each address that a name stands for."""
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                tried.bind(place)
                tried.listen(1)
        except OSError as error:
            yield error
        else:
            yield None
