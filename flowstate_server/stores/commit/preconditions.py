"""Whether a record is as a write expects it."""

from __future__ import annotations

from flowstate_server.errors import VersionMismatchError
from flowstate_server.stores.contract.writes import AtVersion, Precondition


def check_precondition(what: str, precondition: Precondition, version: int, *, exists: bool) -> None:
    """
    Raises:
        VersionMismatchError: it does not hold of the record called ``what``.
    """
    if isinstance(precondition, AtVersion):
        if version != precondition.version:
            raise VersionMismatchError(what, str(precondition.version), version)
    elif exists != precondition.exists:
        raise VersionMismatchError(what, "exists" if precondition.exists else "absent", version)
