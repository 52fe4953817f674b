"""Runs: from a call of an action to the end of its request."""
