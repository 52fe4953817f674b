"""All commands."""

from __future__ import annotations

import typer

from flowstate_server.cli.call import call
from flowstate_server.cli.serve import serve
from flowstate_server.cli.store import store
from flowstate_server.cli.tail import tail

application = typer.Typer(
    name="flowstate",
    help="Keep the state of AI applications.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
application.command()(serve)
application.command()(call)
application.command()(tail)
application.add_typer(store)
