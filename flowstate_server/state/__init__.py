"""What an operation on state means, as pure functions: no I/O, no clock, no store, no author code but validators."""
