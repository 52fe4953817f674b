"""Values that code of authors computes for clients."""

from __future__ import annotations

from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.records import Failure

# A snapshot has to fit into a message of 4 MiB, whatever a derived value makes of the state. Chosen.
MAX_DERIVED_BYTES = 256 * 1024


def bounded(derived: Json | Failure) -> Json | Failure:
    """A value so large that it would keep the others from being served counts as failed."""
    if isinstance(derived, Failure) or len(encode_json(derived)) <= MAX_DERIVED_BYTES:
        return derived
    return Failure("INTERNAL", f"the derived value has more than {MAX_DERIVED_BYTES} bytes")
