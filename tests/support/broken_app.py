"""An application whose flows don't agree."""

from __future__ import annotations

from flowstate_server.app import create_flowstate
from tests.support.deploys import chat, neighbour

flowstate = create_flowstate(flows=[chat(), neighbour])
