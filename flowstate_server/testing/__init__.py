"""For tests of FlowState, of flows and of stores: shipped, never imported by the server."""
