"""For tests of FlowState, of flows and of stores: shipped, never imported by the server."""

from flowstate_server.testing.run_flow import FlowRun, FlowTester, run_flow

__all__ = ["FlowRun", "FlowTester", "run_flow"]
