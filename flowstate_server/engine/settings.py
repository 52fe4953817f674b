"""The engine's limits and intervals. Durations are seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``lease`` is how long a process that fell silent keeps its runs; it renews every ``lease / 3``."""

    lease: float = 15.0
    cancel_grace: float = 5.0
    transient_retention: float = 600.0
    idempotency_window: float = 24 * 3600.0

    max_state_bytes: int = MIB
    max_input_bytes: int = MIB
    max_output_bytes: int = MIB
    max_item_bytes: int = MIB
    max_terminal_output_bytes: int = 64 * KIB
    max_ops: int = 100
    max_scopes: int = 16

    default_page_size: int = 50
    max_page_size: int = 500
    max_page_bytes: int = MIB
    page_token_key: str = "flowstate"

    max_wait: float = 50.0
    heartbeat: float = 15.0
    min_heartbeat: float = 5.0
    max_heartbeat: float = 45.0
    batch_events: int = 256
    batch_bytes: int = 256 * KIB

    flush_after: float = 0.02
    flush_events: int = 64
    max_held_events: int = 512

    @property
    def renew_interval(self) -> float:
        return self.lease / 3
