"""Between the messages of ``flowstate.v1`` and the engine's values; one file a subject."""
