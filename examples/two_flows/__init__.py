"""Two flows that share a user's preferences, and a third one that keeps to itself.

Serve it with ``flowstate serve examples.two_flows:flowstate``, or see ``python -m examples.two_flows.demo``.
"""

from __future__ import annotations

from examples.two_flows.admin import admin
from examples.two_flows.chat import chat
from examples.two_flows.maintenance import maintenance
from flowstate_server.app import create_flowstate

__all__ = ["admin", "chat", "flowstate", "maintenance"]

flowstate = create_flowstate(flows=[chat, admin, maintenance])
