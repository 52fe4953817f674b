"""Stores: the contract every adapter keeps, the one meaning of a commit, and the adapters."""
