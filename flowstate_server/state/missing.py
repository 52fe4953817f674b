"""The mark for "no value", where ``None`` is JSON's null."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
