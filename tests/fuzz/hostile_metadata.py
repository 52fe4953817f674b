"""Metadata of callers who claim too much, say it twice, or send what is none."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Pairs = tuple[tuple[str, str | bytes], ...]

_KEYS = (
    *("authorization", "x-tenant-id", "x-flowstate-user", "x-flowstate-org", "x-flowstate-plane"),
    *("x-flowstate-user-bin", "x-flowstate-org-bin", "x-flowstate-request", "x-flowstate-request-bin"),
    *(
        "x-correlation-id",
        "flowstate-client",
        "traceparent",
        "grpc-accept-encoding",
        "unknown",
        "unknown-bin",
    ),
)
_VALUES = (
    *("", " ", "a", "b", "none", "trusted", "client", "Trusted", "-a", "a b", "a/../b", "a" * 128, "a" * 129),
    *(
        "Bearer",
        "Bearer ",
        "Bearer  x",
        "Basic eDp5",
        "bearer token of ada",
        "Bearer token of nobody",
        "%00",
    ),
    *("00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\x7f", "~" * 4_000),
)


def hostile_metadata(bearer: Pairs, victims: Sequence[str], chance: random.Random) -> Pairs:
    """``bearer`` spoilt or with something beside it; what is claimed of ``victims`` is never proved."""
    others = tuple(_pair(victims, chance) for _ in range(chance.randint(1, 3)))
    without = tuple(pair for pair in bearer if pair[0] != "authorization")
    make: Callable[[], Pairs] = chance.choice(
        (
            lambda: (*bearer, *others),
            lambda: (*without, *others),
            lambda: (*bearer, *bearer),
            lambda: (*bearer, *others, *others),
            lambda: (*bearer, ("x-filler", "x" * chance.choice((6_000, 9_000, 20_000, 70_000)))),
            lambda: (*bearer, *((f"x-filler-{n}", "x") for n in range(chance.choice((20, 100, 1_000))))),
            lambda: tuple((key, _cut(value, chance)) for key, value in bearer),
        )
    )
    return make()


def _pair(victims: Sequence[str], chance: random.Random) -> tuple[str, str | bytes]:
    key = chance.choice(_KEYS)
    if key.endswith("-bin"):
        return key, chance.choice((b"", b"\xff\xfe", chance.choice(victims).encode(), chance.randbytes(200)))
    return key, chance.choice((*_VALUES, chance.choice(victims)))


def _cut(value: str | bytes, chance: random.Random) -> str | bytes:
    return value[: chance.randint(0, len(value))]
