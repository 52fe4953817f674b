"""FlowState: the server that keeps the state of AI applications right.

Authors import from ``flowstate_server.flows``, applications from ``flowstate_server.app``, tests from
``flowstate_server.testing``.
"""
