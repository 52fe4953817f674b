"""For tests of FlowState, of flows and of stores: shipped, never imported by the server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowstate_server.testing.flow_tester import FlowRun, FlowTester, run_flow

__all__ = ["FlowRun", "FlowTester", "run_flow"]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: what tests stores and histories does without flows, and so without pydantic.
    if name in __all__:
        return getattr(importlib.import_module("flowstate_server.testing.flow_tester"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
