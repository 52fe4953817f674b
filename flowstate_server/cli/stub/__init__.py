"""The source text of typed clients."""
