"""What a handle to read says to those who would write by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn


class OnlyReading:
    """``writes`` is the class of the handle that does more."""

    writes: ClassVar[type]

    if not TYPE_CHECKING:  # which finds it by itself

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True
            if not name.startswith("_") and hasattr(self.writes, name):
                raise AttributeError(
                    f"there is no {name} here, where state is only for reading: do it in a handler"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
