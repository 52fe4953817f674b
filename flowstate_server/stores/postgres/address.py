"""Where the database is, and how to speak of it without its password."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.frozen import frozen

_SCHEMES = ("postgresql", "postgres")
_FORM = (
    "postgresql://user:password@host:port/database, special characters percent-encoded; several hosts are"
    " host:port,host:port"
)
_PLACES = frozenset(("host", "port"))
_HOST = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]*)(?::(\d+))?")
DEFAULT_PORT = 5432

# Hosted databases put these into the URLs they hand out; the driver would take them for settings of the server.
_NOT_OURS = frozenset(("pgbouncer", "channel_binding", "connection_limit", "pool_timeout", "connect_timeout"))


@frozen
class Address:
    """A parsed URL. ``hosts`` are where the database may be, as ``host:port``; ``shown`` is fit for messages: hosts and
    database only."""

    dsn: str
    hosts: tuple[str, ...]
    shown: str
    secrets: tuple[str, ...]

    def at(self, host: str) -> str:
        """The URL that leads to one of the hosts alone. Where none is named, the driver knows more of them."""
        parts = urlsplit(self.dsn)
        given = parse_qsl(parts.query, keep_blank_values=True)
        if not parts.netloc.rpartition("@")[2] and not dict(given).get("host"):
            return self.dsn
        name, _, port = host.rpartition(":")
        options = [(option, value) for option, value in given if option not in _PLACES]
        query = urlencode([*options, ("host", unquote(name)), ("port", port)])
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=login + at, query=query))

    def hide(self, text: str) -> str:
        """``text`` without the password, should it be in there."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def parse_address(dsn: str) -> Address:
    """
    Raises:
        StoreOpenError: it is no URL of a PostgreSQL database. The text does not repeat it.
    """
    parsed = _parsed(dsn)
    if parsed is None:  # raised here, where no error of the parser that repeats its part hangs on to it
        raise StoreOpenError(problem=f"the Postgres URL can't be understood, it must be {_FORM}")
    parts, hosts, options = parsed
    if parts.scheme not in _SCHEMES:
        raise StoreOpenError(problem=f"the Postgres URL must be {_FORM}")
    passwords = [parts.password or "", *(value for name, value in options if name == "password")]
    secrets = {form for password in passwords if password for form in (password, unquote(password))}
    query = urlencode([(name, value) for name, value in options if name not in _NOT_OURS])
    return Address(
        urlunsplit(parts._replace(query=query)),
        hosts,
        f"{','.join(hosts)}/{unquote(parts.path[1:])}",
        tuple(sorted(secrets, key=len, reverse=True)),
    )


def _parsed(dsn: str) -> tuple[SplitResult, tuple[str, ...], list[tuple[str, str]]] | None:
    try:
        parts = urlsplit(dsn)
        if "@" in parts.path:  # a password with an unencoded slash ends the host too early
            return None
        options = parse_qsl(parts.query, keep_blank_values=True)
        return parts, _hosts(parts.netloc.rpartition("@")[2], dict(options)), options
    except ValueError:
        return None


def _hosts(named: str, options: dict[str, str]) -> tuple[str, ...]:
    """Those before the path, else those of ``host`` and ``port``, as ``host:port``."""
    hosts = (named or options.get("host", "")).split(",")
    ports = [""] if named else options.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    found = []
    for host, port in zip(hosts, ports, strict=True):
        match = _HOST.fullmatch(host)
        if match is None or (port and not port.isdecimal()):
            raise ValueError("not a host")
        found.append(f"{match[1] or 'localhost'}:{match[2] or port or DEFAULT_PORT}")
    return tuple(found)
