"""For tests of what uses this client: faults on the way, and events at hand.

========================  ==========================================================================================
:class:`FaultProxy`       a TCP proxy that cuts, refuses, delays, throttles, stalls and half-closes connections
:class:`GrpcProxy`        a gRPC proxy that ends streams with OK before their end, and notes what was called
:func:`record_events`     all events of a run, or the rest of a stream, as a list
========================  ==========================================================================================

A server to put behind them is started by ``flowstate_server.testing``: in the process of the test (``server``), or in
one of its own (``server_process``).
"""

from __future__ import annotations

from flowstate_client.testing.fault_proxy import FaultProxy
from flowstate_client.testing.grpc_proxy import GrpcProxy
from flowstate_client.testing.recording import record_events

__all__ = ["FaultProxy", "GrpcProxy", "record_events"]
