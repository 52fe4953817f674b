"""For tests of FlowState, of flows and of stores: shipped, never imported by the server.

==================  ================================================================================================
``run_flow``        one action, without a server
``FlowTester``      several actions in one conversation, which can be stopped, without a server
``server``          a server in the process of the test
``server_process``  servers in processes of their own, which can be killed, frozen and started again
``fixtures``        servers and clients for pytest, which loads them by itself
``waiting``         waiting for what happens, rather than for time to pass
``child_signals``   processes that mind their signals, however the tests were started
``store_contract``  what every store must keep
``history``         whether what some callers were told of the same records can be true
==================  ================================================================================================

The first two can be had from this module, the others are modules and packages here. Faults on the way to a server are
in ``flowstate_client.testing``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowstate_server.testing.flow_resources import ResourceAfter, ResourceBefore
    from flowstate_server.testing.flow_run import FlowRun, FlowRunFailed
    from flowstate_server.testing.flow_tester import FlowTester, StartedRun, run_flow

__all__ = [
    "FlowRun",
    "FlowRunFailed",
    "FlowTester",
    "ResourceAfter",
    "ResourceBefore",
    "StartedRun",
    "run_flow",
]

_MODULES = {
    "FlowRun": "flow_run",
    "FlowRunFailed": "flow_run",
    "ResourceAfter": "flow_resources",
    "ResourceBefore": "flow_resources",
}


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: what tests stores and histories does without flows, and so without pydantic.
    if name in __all__:
        module = _MODULES.get(name, "flow_tester")
        return getattr(importlib.import_module(f"flowstate_server.testing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
