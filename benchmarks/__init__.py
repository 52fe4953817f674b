"""Benchmarks: what FlowState does a second, beside a bare gRPC server of the same size. ``python -m benchmarks``."""
