"""What happens when a generator runs: what its model is told, how its answers become items, its tools, its output."""
