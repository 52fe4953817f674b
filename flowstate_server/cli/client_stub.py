"""``flowstate client-stub``: a typed client of an application's flows, as Python source."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from flowstate_client.flow_info import FlowInfo
from flowstate_server.cli.app_reference import load_app
from flowstate_server.cli.stub.module import stub_of
from flowstate_server.rpc.flow_listing import whole


def client_stub(
    app: Annotated[
        str, typer.Argument(metavar="APP", help="module:attribute that holds a FlowState or a Flow.")
    ],
    sync: Annotated[bool, typer.Option("--sync", help="For the client of flowstate_client.sync.")] = False,
) -> None:
    """Write a typed Python client of APP's flows.

    What comes on stdout needs flowstate_client and nothing of APP: a class for each flow, its actions as methods, and
    pydantic models of what they take and give and of what clients see. Equal flows give equal text, so that it can be
    committed and compared.
    """
    flows = [FlowInfo.from_proto(whole(flow.described)) for flow in load_app(app).catalogue]
    package, option = ("flowstate_client.sync", "--sync ") if sync else ("flowstate_client", "")
    sys.stdout.write(stub_of(flows, f"flowstate client-stub {option}{shlex.quote(app)}", package=package))
