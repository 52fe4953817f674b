"""The same turns kept by others, beside FlowState: ``make bench-peers``. See benchmarks/README.md."""
