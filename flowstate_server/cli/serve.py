"""``flowstate serve``: a server in this process."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flowstate_server.cli.configuration import known_variables, unknown_variables, with_settings
from flowstate_server.cli.log_lines import LogFormat, log_to_stderr
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.restarting import OPTION, follow_parent, serve_and_restart
from flowstate_server.cli.worker_link import WorkerLink
from flowstate_server.settings import Settings, SettingsError

OPTIONS_OF_TLS = re.compile(r"\btls_(cert|key)\b")

# At level DEBUG these tell of every step they take, which hides what the server and its flows say.
_TALKATIVE = ("grpc", "asyncio", "aiosqlite", "asyncpg")

_logger = logging.getLogger(__name__)


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@with_settings
def serve(
    app: Annotated[
        str, typer.Argument(metavar="APP", help="module:attribute that holds a FlowState or a Flow.")
    ],
    log_level: Annotated[
        LogLevel, typer.Option(envvar="FLOWSTATE_LOG_LEVEL", help="What to log to stderr.")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="FLOWSTATE_LOG_FORMAT", help="Lines for people, or a JSON object in each."),
    ] = LogFormat.TEXT,
    app_dir: Annotated[
        Path,
        typer.Option(
            "--app-dir",
            metavar="DIR",
            exists=True,
            file_okay=False,
            resolve_path=True,
            show_default="the current one",
            help="The folder in which the module of APP is looked for first.",
        ),
    ] = Path(),
    reload: Annotated[
        bool,
        typer.Option(
            OPTION,
            help="For development: start again when a Python file of the app under --app-dir changes. One process;"
            " what --store names stays.",
        ),
    ] = False,
    **given: Any,
) -> None:
    """Serve the flows of APP until SIGTERM or Ctrl-C; a second signal stops without waiting for runs.

    Every setting is also an environment variable: --listen is FLOWSTATE_LISTEN.
    """
    follow_parent(app_dir)
    link = WorkerLink.of_environment()
    log_to_stderr(log_level.upper(), log_format, worker=None if link is None else link.number)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    if link is None and (unknown := unknown_variables(os.environ)):
        _logger.warning("ignored, for there are no such settings: %s", ", ".join(map(_with_hint, unknown)))
    try:
        settings = Settings.load(**given)
    except SettingsError as error:
        give_up(OPTIONS_OF_TLS.sub(lambda found: f"--tls-{found[1]}", str(error)), MISUSED)
    if settings.store is not None and settings.profile is not None:
        give_up(
            "a store by URL (--store, FLOWSTATE_STORE) and a profile of the app's own stores "
            "(--profile, FLOWSTATE_PROFILE) exclude each other",
            MISUSED,
        )
    if reload and settings.workers > 1:
        give_up(f"{OPTION} is for one process, and excludes several (--workers, FLOWSTATE_WORKERS)", MISUSED)
    if reload:
        raise typer.Exit(serve_and_restart(sys.argv[1:], app_dir))
    if link is not None:
        settings = dataclasses.replace(settings, listen=link.listen, reuse_port=True)
    elif settings.workers > 1:
        from flowstate_server.cli.workers import serve_with_workers

        raise typer.Exit(serve_with_workers(sys.argv[1:], settings))
    from flowstate_server.cli.app_reference import load_app
    from flowstate_server.cli.serving import serve_to_the_end

    raise typer.Exit(serve_to_the_end(app, load_app(app, app_dir), settings, link))


def _with_hint(variable: str) -> str:
    near = get_close_matches(variable, known_variables(), 1)
    return f"{variable} (did you mean {near[0]}?)" if near else variable
