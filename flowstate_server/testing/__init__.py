"""For tests of FlowState, of flows and of stores: shipped, never imported by the server.

==================  ================================================================================================
``run_flow``        one action, without a server
``FlowTester``      several actions in one conversation, which can be stopped, without a server
``ScriptedModel``   a language model that answers by a script
``running_server``  a server in the process of the test, a ``RunningServer``
``server_process``  servers in processes of their own, which can be killed, frozen and started again
``fixtures``        servers and clients for pytest, which loads them by itself
``waiting``         waiting for what happens, rather than for time to pass
``child_signals``   processes that mind their signals, however the tests were started
``store_contract``  what every store must keep
``history``         whether what some callers were told of the same records can be true
==================  ================================================================================================

The first four can be had from this module, and ``StartServer``, the type of the fixture; the others are modules and
packages here. Faults on the way to a server are
in ``flowstate_client.testing``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# What gRPC would print of each connection that a test cuts off; it looks only once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

if TYPE_CHECKING:
    from flowstate_server.testing.fixtures import StartServer
    from flowstate_server.testing.flow_resources import ResourceAfter, ResourceBefore
    from flowstate_server.testing.flow_run import FlowRun, FlowRunFailed
    from flowstate_server.testing.flow_tester import FlowTester, StartedRun, run_flow
    from flowstate_server.testing.scripted_model import Scripted, ScriptedModel, calls
    from flowstate_server.testing.server import RunningServer, running_server

__all__ = [
    "FlowRun",
    "FlowRunFailed",
    "FlowTester",
    "ResourceAfter",
    "ResourceBefore",
    "RunningServer",
    "Scripted",
    "ScriptedModel",
    "StartServer",
    "StartedRun",
    "calls",
    "run_flow",
    "running_server",
]

_MODULES = {
    "FlowRun": "flow_run",
    "FlowRunFailed": "flow_run",
    "Scripted": "scripted_model",
    "ScriptedModel": "scripted_model",
    "calls": "scripted_model",
    "ResourceAfter": "flow_resources",
    "ResourceBefore": "flow_resources",
    "RunningServer": "server",
    "StartServer": "fixtures",
    "running_server": "server",
}


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: what tests stores and histories does without flows, and so without pydantic.
    if name in __all__:
        module = _MODULES.get(name, "flow_tester")
        return getattr(importlib.import_module(f"flowstate_server.testing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
