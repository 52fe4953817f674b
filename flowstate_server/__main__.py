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


def _open_what_is_closed() -> None:
    """A shell's ``>&-``, and some supervisors, leave a process without a stream."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # for as long as the process lasts


def _is_of_ctrl_c(error: BaseException | None) -> bool:
    """Whether that came while the libraries were loaded; what it interrupts there may raise something else in turn."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def main() -> None:
    """Run the command line; without the libraries of the extra ``server`` say so and exit with 2."""
    # What gRPC would print by itself, the commands say in their own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    codecs.register_error(_ESCAPED, _escaped)
    _open_what_is_closed()
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
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_SERVER_EXTRA:
            raise
        print(
            f"flowstate: {missing} is not installed; install the server with: pip install 'flowstate-grpc[server]'",
            file=sys.stderr,
        )
        sys.exit(2)
    except (Exception, KeyboardInterrupt) as error:
        if not _is_of_ctrl_c(error):
            raise
        sys.exit(130)


if __name__ == "__main__":
    main()
