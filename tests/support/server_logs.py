"""What servers in processes of their own have logged."""

from __future__ import annotations


def troubles(log: str) -> list[str]:
    """The lines of errors and of tracebacks, which are far too many to be shown with the whole log."""
    words = (" ERROR ", " CRITICAL ", "Traceback", "Error: ")
    return [line for line in log.splitlines() if any(word in line for word in words)]
