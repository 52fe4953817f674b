"""The store contract: writes, reads, the watch and what an adapter implements. Start with ``backend.py``."""
