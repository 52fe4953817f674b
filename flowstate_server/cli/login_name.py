"""Who sits at the terminal."""

from __future__ import annotations

import getpass


def login_name() -> str:
    """The login name; ``cli`` where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "cli"
