"""How many requests of an action run at a time, as its description says."""

from __future__ import annotations

from flowstate_server.model.clock import Seconds
from flowstate_server.model.frozen import frozen
from flowstate_server.model.gates import Policy
from flowstate_server.model.word import Word

MAX_WAITING = 1000
"""Most requests that may wait at one gate: who waits is one document, rewritten by everybody who comes and goes."""


class GateBy(Word):
    """What tells the gates of a group apart: one for each session, each user, or each key that the program makes of an
    input."""

    SESSION = "session"
    USER = "user"
    INPUT = "input"


@frozen
class Concurrency:
    """One request at a time goes through a gate; ``policy`` is what becomes of the others.

    Actions of a flow that name the same ``group`` share its gates; empty: the action's own name. At most ``limit`` wait
    at one gate, each for ``timeout`` at most.
    """

    policy: Policy
    by: GateBy = GateBy.SESSION
    group: str = ""
    limit: int = 100
    timeout: Seconds = Seconds(600.0)
