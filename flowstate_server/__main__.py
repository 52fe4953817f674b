"""``python -m flowstate_server``, and the script ``flowstate``."""

from __future__ import annotations

import codecs
import io
import os
import sys

_OF_THE_SERVER_EXTRA = frozenset(("aiosqlite", "grpc_health", "grpc_reflection", "rich", "typer"))


_ESCAPED = "flowstate_escaped"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What a stream that is not UTF-8 can't encode, as JSON escapes it: most of what is printed is JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    raw = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at : at + 2].hex()}" for at in range(0, len(raw), 2)), error.end


def main() -> None:
    """Run the command line; without the libraries of the extra ``server`` say so and exit with 2."""
    # What gRPC would print by itself, the commands say in their own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)
    try:
        from flowstate_server.cli.application import application
        from flowstate_server.cli.process_end import leave

        try:
            application(prog_name="flowstate")
        except SystemExit as exit:
            leave(exit.code)
            raise
    except KeyboardInterrupt:  # while the libraries are loaded
        sys.exit(130)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_SERVER_EXTRA:
            raise
        print(
            f"flowstate: {missing} is not installed; from a checkout, install the server with: pip install '.[server]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
