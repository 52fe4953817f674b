"""gRPC: one envelope around every method, and servicers that decode, make one call to the engine and encode."""
