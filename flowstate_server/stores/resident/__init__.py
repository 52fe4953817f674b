"""Tables held in the memory of this process: what the memory store is, and what the filesystem store answers from."""
