"""What travels beside each call: who calls, and for whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Literal

from flowstate_client.arguments import identifier

Plane = Literal["client", "trusted"]
MetadataProvider = Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
"""Asked before every attempt of every call; for tokens that expire, traces and the like. A function, or an asynchronous
one. Asked once more where the server takes the caller for nobody: if it says something else by then, the call is made
again. What it raises the call raises."""

CORRELATION_ID = "x-correlation-id"

Pairs = tuple[tuple[str, str | bytes], ...]
"""Metadata as it is sent; values of keys that end in ``-bin`` are bytes."""

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]+")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CallMetadata:
    """The metadata of a client's calls; values are checked here, where gRPC would fail obscurely."""

    def __init__(
        self,
        *,
        tenant: str | None = None,
        plane: Plane | None = None,
        user: str | None = None,
        org: str | None = None,
        token: str | None = None,
        provider: MetadataProvider | None = None,
    ) -> None:
        if tenant is not None and not _TENANT.fullmatch(tenant):
            raise ValueError(
                "tenant must be 1 to 128 letters, digits, '.', '_' or '-', not beginning with a sign"
            )
        if plane not in (None, "client", "trusted"):
            raise ValueError("plane must be 'client' or 'trusted'")
        named = {
            "x-tenant-id": tenant,
            "x-flowstate-plane": plane,
            "authorization": None if token is None else f"Bearer {token}",
        }
        given = {key: value for key, value in named.items() if value is not None}
        self._fixed: dict[str, str | bytes] = dict(check_metadata(given))
        for key, value in (("x-flowstate-user", user), ("x-flowstate-org", org)):
            if value is not None:
                self._fixed.update(_id(key, value))
        self._provider = provider

    @property
    def asks(self) -> bool:
        """Whether a provider of the caller's has a say."""
        return self._provider is not None

    async def build(self, correlation_id: str) -> Pairs:
        """Metadata of one attempt.

        Raises:
            TypeError, ValueError: the provider gave something that cannot be sent.
        """
        pairs = dict(self._fixed)
        if self._provider is not None:
            told = self._provider()
            pairs.update(check_metadata(await told if isinstance(told, Awaitable) else told))
        pairs.setdefault(CORRELATION_ID, correlation_id)
        running = running_request()
        if running:
            pairs.update(_id("x-flowstate-request", running))
        return tuple(pairs.items())


def running_request() -> str:
    """The request within whose run this is called, empty outside of runs.

    A server notes who is at work in a context variable, which is found by its name: this package does not know the
    server's. With it a run that would wait for itself is refused instead of stuck.
    """
    for variable, value in copy_context().items():
        if variable.name == "flowstate_at_work":
            found = getattr(getattr(value, "run", None), "request_id", "")
            return found if isinstance(found, str) else ""
    return ""


def _id(key: str, value: str) -> Mapping[str, str | bytes]:
    """An id under ``key``, or as UTF-8 under its binary twin if gRPC would not take it as it is."""
    identifier(value, key.rpartition("-")[2])
    if _VALUE.fullmatch(value) and value == value.strip():
        return {key: value}
    return {f"{key}-bin": value.encode()}


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """``metadata``, if gRPC can send it: lower-case keys, values of printable ASCII, not empty.

    Raises:
        TypeError: it is no mapping.
        ValueError: naming the key, never the value.
    """
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping, not {type(metadata).__name__}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(
                f"metadata key {key!r}: only lower-case letters, digits, '_', '.' and '-' may be used"
            )
        if key.startswith("grpc-") or key.endswith("-bin"):
            raise ValueError(
                f"metadata key {key!r}: 'grpc-' and '-bin' keys are not for calls of this service"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"metadata {key!r}: the value must be printable ASCII text, not empty")
        if value != value.strip():
            raise ValueError(f"metadata {key!r}: the value must not begin or end with a space")
    return dict(metadata)
