"""Reads call metadata. What is there must be right: a value that is empty, repeated or malformed is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowstate_server.errors import MetadataInvalidError, ValidationFailedError
from flowstate_server.model.ids import check_id
from flowstate_server.settings import ServerSettings

TENANT_KEY = ServerSettings().tenant_key
USER_KEY = "x-flowstate-user"
ORG_KEY = "x-flowstate-org"
REQUEST_KEY = "x-flowstate-request"
"""The running request from within which a call is made, if it is one."""
# Ids may hold any character, metadata is ASCII; values of keys that end so are bytes, here UTF-8.
_BINARY = {f"{key}-bin": key for key in (USER_KEY, ORG_KEY, REQUEST_KEY)}
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CallMetadata:
    """The metadata of one call. Its values may be secrets: they are never logged."""

    def __init__(self, pairs: Iterable[tuple[str, str | bytes]]) -> None:
        self._values: dict[str, tuple[str, ...]] = {}
        for key, value in pairs:
            if isinstance(value, bytes):
                if key not in _BINARY:
                    continue
                # What is not UTF-8 becomes a surrogate, which no id may hold.
                key, value = _BINARY[key], value.decode("utf-8", "surrogateescape")
            self._values[key] = (*self._values.get(key, ()), value)

    def as_sent(self, keys: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """All values of each key, unchecked."""
        return tuple([self._values.get(key, ()) for key in keys])

    def first(self, key: str) -> str:
        """The first value, or the empty string; for keys that are taken as they come."""
        return self._values.get(key, ("",))[0]

    def single(self, key: str) -> str | None:
        """The one value of ``key``; ``None`` where it is absent, and only there."""
        values = self._values.get(key)
        if values is None:
            return None
        if len(values) > 1:
            raise MetadataInvalidError(key, "must be given once")
        if not values[0]:
            raise MetadataInvalidError(key, "must not be empty; leave it out instead")
        return values[0]

    def identifier(self, key: str) -> str:
        """The id under ``key``; empty where it is absent."""
        value = self.single(key) or ""
        try:
            return check_id(key, value, required=False)
        except ValidationFailedError as error:
            raise MetadataInvalidError(key, error.violations[0].message) from None

    def tenant(self, key: str = TENANT_KEY) -> str | None:
        value = self.single(key)
        if value is not None and not _TENANT.fullmatch(value):
            raise MetadataInvalidError(key, f"must match {_TENANT.pattern}")
        return value
