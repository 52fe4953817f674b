"""Where the database is, and how to speak of it without its password."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.frozen import frozen

_SCHEMES = ("postgresql", "postgres")
_FORM = "postgresql://user:password@host:port/database, special characters percent-encoded"

# Hosted databases put these into the URLs they hand out; the driver would take them for settings of the server.
_NOT_OURS = frozenset(("pgbouncer", "channel_binding", "connection_limit", "pool_timeout", "connect_timeout"))


@frozen
class Address:
    """A parsed URL. ``shown`` is fit for messages: host, port and database only."""

    dsn: str
    shown: str
    secrets: tuple[str, ...]

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
    parts, shown, options = parsed
    if parts.scheme not in _SCHEMES:
        raise StoreOpenError(problem=f"the Postgres URL must be {_FORM}")
    passwords = [parts.password or "", *(value for name, value in options if name == "password")]
    secrets = {form for password in passwords if password for form in (password, unquote(password))}
    query = urlencode([(name, value) for name, value in options if name not in _NOT_OURS])
    return Address(
        urlunsplit(parts._replace(query=query)), shown, tuple(sorted(secrets, key=len, reverse=True))
    )


def _parsed(dsn: str) -> tuple[SplitResult, str, list[tuple[str, str]]] | None:
    try:
        parts = urlsplit(dsn)
        if "@" in parts.path:  # a password with an unencoded slash ends the host too early
            return None
        shown = f"{parts.hostname or 'localhost'}:{parts.port or 5432}/{unquote(parts.path[1:])}"
        return parts, shown, parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
