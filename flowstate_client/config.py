"""How a client behaves: times, retries, connections."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version


def client_version() -> str:
    """Version of the installed distribution; ``0`` where it is not installed."""
    try:
        return version("flowstate-grpc")
    except PackageNotFoundError:
        return "0"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts: ``initial`` seconds, growing by ``multiplier`` up to ``maximum``, with full jitter."""

    initial: float = 0.1
    multiplier: float = 1.6
    maximum: float = 10.0

    def pause(self, failures: int, *, at_least: float | None = None) -> float:
        """Seconds to wait after the ``failures``-th failure in a row (from 1), ``at_least`` what the server asked."""
        ceiling = min(self.maximum, self.initial * self.multiplier ** min(failures - 1, 64))
        return max(random.uniform(0, ceiling), at_least or 0.0)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How a client behaves. Times are in seconds.

    Attributes:
        timeout: Total time of a unary call with all its attempts, where the call gives none.
        connect_timeout: Longest time to set up one connection.
        read_attempts: Attempts of a read that meets UNAVAILABLE (1 to 5).
        backoff: Pauses between attempts of writes and of tails.
        healthy_after: A tail that lived this long starts its pauses from the beginning again.
        heartbeat_interval: Longest silence of a tail to ask the server for; ``None``: the server's default. The
            watchdog reconnects after three of them.
        tails_per_connection: Tails have connections of their own, each with at most this many.
        keepalive_time, keepalive_timeout: When to ping a connection in use that is silent, and how long to wait.
        max_message_bytes: Largest message either way; a larger one to send is a ``ValueError``.
        cas_attempts: Attempts of ``atomic_state`` before it gives up.
        channel_options: More gRPC channel arguments, for all connections.
    """

    timeout: float = 30.0
    connect_timeout: float = 10.0
    read_attempts: int = 4
    backoff: Backoff = field(default_factory=Backoff)
    healthy_after: float = 10.0
    heartbeat_interval: float | None = None
    tails_per_connection: int = 100
    keepalive_time: float = 15.0
    keepalive_timeout: float = 5.0
    max_message_bytes: int = 4 * 1024 * 1024
    cas_attempts: int = 8
    channel_options: tuple[tuple[str, str | int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout", "healthy_after", "keepalive_time", "keepalive_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"ClientConfig.{name} must be over 0")
        if self.heartbeat_interval is not None and self.heartbeat_interval <= 0:
            raise ValueError("ClientConfig.heartbeat_interval must be over 0")
        if not 1 <= self.read_attempts <= 5:
            raise ValueError("ClientConfig.read_attempts must be 1 to 5")
        for name in ("tails_per_connection", "max_message_bytes", "cas_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"ClientConfig.{name} must be at least 1")
