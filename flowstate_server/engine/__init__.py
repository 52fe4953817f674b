"""The engine: runs flows on a store and serves what callers ask of it. Knows nothing of gRPC."""
