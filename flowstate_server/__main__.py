"""``python -m flowstate_server``, and the script ``flowstate``."""

from __future__ import annotations

import os
import sys

_OF_THE_SERVER_EXTRA = frozenset(("aiosqlite", "grpc_health", "grpc_reflection", "rich", "typer"))


def main() -> None:
    """Run the command line; without the libraries of the extra ``server`` say so and exit with 2."""
    # What gRPC would print by itself, the commands say in their own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from flowstate_server.cli.application import application
        from flowstate_server.cli.process_end import leave

        try:
            application(prog_name="flowstate")
        except SystemExit as exit:
            leave(exit.code)
            raise
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_SERVER_EXTRA:
            raise
        print(
            f"flowstate: {missing} is not installed; install the server with: pip install 'flowstate-grpc[server]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
