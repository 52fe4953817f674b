"""The flow of resources as an application, for servers of their own process."""

from __future__ import annotations

from flowstate_server.app import create_flowstate
from tests.support.resource_flow import desk

app = create_flowstate(flows=[desk()])
