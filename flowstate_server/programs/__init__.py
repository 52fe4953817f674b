"""A flow as the engine sees it: a description, which is plain data, and a program, which runs its actions."""
