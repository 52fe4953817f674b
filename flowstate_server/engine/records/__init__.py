"""Sessions, states and snapshots: reading and writing what is kept."""
