"""The flows of a house as an application, for a server in a process of its own."""

from __future__ import annotations

from flowstate_server.app import create_flowstate
from tests.support.house import house_flows
from tests.support.inside import inside

app = create_flowstate(flows=[*house_flows(), inside])
