"""What may be stored in a scope: the protocol by which everyone sees a schema, and what implements it."""
