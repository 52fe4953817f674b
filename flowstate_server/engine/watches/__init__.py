"""Watches of what a flow shows of a session."""
