"""Environment variables that look like settings and are none."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.settings import PREFIX, SETTINGS

OF_THE_COMMANDS = frozenset(
    PREFIX + name for name in ("LOG_LEVEL", "ORG", "SERVER", "TENANT", "TLS", "TLS_CA", "TOKEN", "USER")
)
"""Those that options of the commands are read from and that are no settings of a server."""

# Those of the tests, and those that Kubernetes puts into every container beside a service called flowstate.
_OF_OTHERS = tuple(PREFIX + name for name in ("TEST_", "PORT", "SERVICE_"))


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables with FlowState's prefix that mean nothing to it; empty ones count as absent."""
    known = OF_THE_COMMANDS | {PREFIX + name.upper() for name in SETTINGS}
    return sorted(
        name
        for name, value in environment.items()
        if value and name.startswith(PREFIX) and name not in known and not name.startswith(_OF_OTHERS)
    )
