"""The database's clock, as a store has seen it."""

from __future__ import annotations

from flowstate_server.model.clock import Micros


class StoreClock:
    """Never earlier than an earlier answer to this process, even if the database's machine sets its clock back."""

    def __init__(self) -> None:
        self.latest: Micros = Micros(0)

    def seen(self, time: Micros) -> Micros:
        self.latest = max(self.latest, time)
        return self.latest
