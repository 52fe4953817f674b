"""What the server of these tests serves; it runs in another environment."""

from __future__ import annotations

from examples.chat import chat
from flowstate_server.app import create_flowstate
from tests.support.odd_flow import odd

flowstate = create_flowstate(flows=[chat, odd])
