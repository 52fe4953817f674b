"""Runs blocks of flows in this process: the program that a flow is compiled to, and the contexts of its blocks."""
