"""Logs: what was written, read and followed."""
