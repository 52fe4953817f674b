"""The engine's limits and intervals. Durations are seconds, sizes bytes.

The first ones are settings of a server as well: :mod:`flowstate_server.settings` takes them over as they are. The last
ones, without a text of their own, are the engine's alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowstate_server.model.clock import Seconds
from flowstate_server.setting import KIB, MIB, count, seconds, size, switch, words

MIN_HEARTBEAT = Seconds(5.0)
MAX_HEARTBEAT = Seconds(45.0)
"""Proxies commonly cut a quiet stream after 60 s; more often than every 5 s a heartbeat is only load."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    transient_retention: Seconds = seconds(
        600.0, "How long deltas and state changes are kept after their request ended.", zero=True
    )
    idempotency_window: Seconds = seconds(24 * 3600.0, "How long idempotency keys are remembered.")
    tombstone_retention: Seconds = seconds(
        24 * 3600.0, "How long the versions of what was deleted, and ids of its requests, are remembered."
    )
    upload_retention: Seconds = seconds(
        24 * 3600.0, "How long an upload may take; what is not finished by then goes."
    )
    content_retention: Seconds = seconds(
        3600.0,
        "How long replaced or deleted content stays for those who read it, and twice that until it is gone.",
    )

    # Two renewals may be missed. Shorter, and a pause of a busy machine costs its runs; longer, and those of a dead
    # process are waited for.
    lease: Seconds = seconds(
        15.0, "How long a silent server process keeps its runs; it renews three times as often."
    )
    # Two or three such pauses of one run are survived; what blocks for longer rarely comes back.
    hung_after: Seconds = seconds(
        60.0, "How long the event loop may be blocked before the process lets its lease expire."
    )
    allow_schema_conflict: bool = switch(
        "Serve although other servers on the store serve flows that declare shared state otherwise; for a rescue.",
        option=True,
    )
    cancel_grace: Seconds = seconds(
        5.0, "How long a cancelled block has to end before it is abandoned.", zero=True
    )

    # A quarter of a message, so that a document travels with all that goes with it.
    max_state_bytes: int = size(MIB, "Largest state document of one scope.")
    max_input_bytes: int = size(MIB, "Largest input of an action.")
    max_output_bytes: int = size(MIB, "Largest output of an action.")
    max_item_bytes: int = size(MIB, "Largest content of an item.")
    # An event is read by every tail; a larger output is read from the request by who wants it.
    max_terminal_output_bytes: int = size(
        64 * KIB, "Largest output that is repeated in the event of the request's end."
    )
    max_ops: int = count(100, "Most operations in one commit of state.")
    max_scopes: int = count(16, "Most records in one read or commit of state.")
    default_page_size: int = count(50, "Entries of a page where a caller asks for no size.")
    max_page_size: int = count(500, "Most entries of a page; a larger size is brought down to it.")
    page_token_key: str = words(
        "flowstate",
        "Secret that page tokens are sealed with; the same on all servers of a fleet.",
        secret=True,
    )

    # Below the 60 s after which proxies commonly give up on a quiet call.
    max_wait: Seconds = seconds(50.0, "Longest that a call waits for the end of a run.")
    heartbeat: Seconds = seconds(
        15.0,
        "Longest silence on a stream whose caller asks for no interval.",
        least=MIN_HEARTBEAT,
        most=MAX_HEARTBEAT,
    )

    min_heartbeat: Seconds = MIN_HEARTBEAT
    max_heartbeat: Seconds = MAX_HEARTBEAT
    max_page_bytes: int = MIB  # as large as the largest event, so that a page holds one at least
    # One read of a tail: some frames of a fast run; what a slow reader holds in memory stays small.
    batch_events: int = 256
    batch_bytes: int = 256 * KIB

    # A run's events are committed together after this time. 20 ms is below what a reader of streamed text notices, and
    # makes of a model's tokens one commit each or less. Where many runs stream, tokens join: text in pieces of 200 ms
    # still reads as if it flowed.
    flush_after: Seconds = Seconds(0.02)
    max_flush_after: Seconds = Seconds(0.2)
    # A burst is committed before its time; one that the store cannot take makes the block wait.
    flush_events: int = 64
    max_held_events: int = 512

    @property
    def renew_interval(self) -> Seconds:
        return Seconds(self.lease / 3)
