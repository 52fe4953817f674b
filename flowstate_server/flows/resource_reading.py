"""Resources to read, and nothing to write them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

StateT_co = TypeVar("StateT_co", bound=BaseModel | None, default=Any, covariant=True)


class ResourceReading(ABC, Generic[StateT_co]):
    """A resource, to read."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def exists(self) -> bool: ...

    @property
    @abstractmethod
    def version(self) -> int:
        """The version that :attr:`state` shows: 0 if it was never written; it goes on over deletes."""

    @property
    @abstractmethod
    def state(self) -> StateT_co:
        """The state as its model, read-only, with defaults and this request's own earlier writes, like that of a scope.

        Of one that does not exist the defaults. Others' writes appear after the next write, or a refresh.
        """

    @abstractmethod
    def get(self, field: str, /) -> Any:
        """The field's value, its default, or ``None``."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the content; 0 where there is none."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of the content, in lower-case hex; empty where there is none."""

    @property
    @abstractmethod
    def media_type(self) -> str: ...

    @abstractmethod
    async def read(self) -> bytes:
        """The content of the version that :attr:`state` shows; empty where there is none.

        Raises:
            ResourceNotFoundError: it was replaced over an hour ago and is gone; a refresh shows the newest.
        """

    @abstractmethod
    async def read_text(self) -> str:
        """:meth:`read`, as text.

        Raises:
            UnicodeDecodeError: it is no UTF-8.
        """

    @abstractmethod
    def read_pieces(self, *, start: int = 0) -> AsyncIterator[bytes]:
        """:meth:`read`, in pieces of at most 1 MiB from the byte ``start`` on."""


class CollectionReading(ABC, Generic[StateT_co]):
    """The resources of a collection, to read. Nothing of it is loaded until it is asked for.

    Names are whole (``"files/plan.md"``), and have to fit the collection's pattern.

    Raises (all of them):
        ValidationFailedError: a name does not fit.
    """

    @abstractmethod
    async def get(self, name: str, /) -> ResourceReading[StateT_co]:
        """
        Raises:
            ResourceNotFoundError: there is none.
        """

    @abstractmethod
    async def get_or_none(self, name: str, /) -> ResourceReading[StateT_co] | None: ...

    @abstractmethod
    async def list(
        self, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceReading[StateT_co]]:
        """At most ``limit`` of those whose names begin with ``prefix``, by name, beyond the name ``after``."""

    @abstractmethod
    async def count(self) -> int: ...
