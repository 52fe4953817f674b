"""What a grown store holds: whose sessions and requests there are, by their numbers.

Of ten sessions, which are one user's, five have no turn, three have one, one has two and one has four. One session
more, the long one, gets a turn after each ten: a tenth of all turns. So there are as many turns as sessions, and each
user and the long session have their share of what the store has grown to.
"""

from __future__ import annotations

import random

TENANTS = ("acme", "beta", "gamma", "delta")
USERS = 50
"""Of each tenant; with 10,000 sessions each has 50, a whole page."""
TURNS = (0, 0, 0, 0, 0, 1, 1, 1, 2, 4)
"""Of ten sessions."""
TEN = len(TURNS)
EVENTS = 9
"""Of a turn of the flow ``bench``; four of them are transient, and not filled in."""
LONG = "long"
LONG_OWNER = (TENANTS[0], "u0")
REQUESTED = tuple(place for place, turns in enumerate(TURNS) for _ in range(turns))
"""Which of ten sessions each of their nine requests is of."""


def session_id(number: int) -> str:
    """As long, and in such an order, as ids that the server makes."""
    return f"sess_{number:026}"


def request_id(ten: int, place: int) -> str:
    """Of the requests of ten sessions the ``place``-th; the one after the last is the long session's."""
    return f"req_{ten * TEN + place:026}"


def long_sequence(sessions: int) -> int:
    """The newest sequence of the long session."""
    return sessions // TEN * EVENTS


def owner(ten: int) -> tuple[str, str]:
    """Tenant and user of ten sessions."""
    return TENANTS[ten % len(TENANTS)], f"u{ten // len(TENANTS) % USERS}"


def any_session(sessions: int, draw: random.Random) -> tuple[str, str, str]:
    """Tenant, user and id."""
    number = draw.randrange(sessions)
    return *owner(number // TEN), session_id(number)


def any_request(sessions: int, draw: random.Random) -> tuple[str, str, str]:
    """Tenant, user and id."""
    ten = draw.randrange(sessions // TEN)
    return *owner(ten), request_id(ten, draw.randrange(len(REQUESTED)))
