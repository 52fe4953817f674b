"""What a server tells of its own work: the port on which metrics and traces hang."""

from __future__ import annotations

import logging
from typing import Any

_logger = logging.getLogger(__name__)

OK = "OK"


class Observer:
    """Is told of each piece of work when it is over. Does nothing: a subclass overrides what it wants to know.

    Told are names, numbers and outcomes, never a value: nothing of an input, output, state, item or event.
    ``outcome`` is ``OK`` or says what came of it instead; durations are seconds, sizes bytes. The methods are called in
    the midst of the work, on the event loop of the server: they must return at once. What they raise hurts nobody: it
    is logged the first time. Later versions tell more, so that an override takes further keywords (``**more``).
    """

    def call(
        self, *, method: str, plane: str, seconds: float, bytes_in: int, bytes_out: int, outcome: str
    ) -> None:
        """A call came in and was answered; ``method`` is ``Service/Method``, ``outcome`` the reason of its error."""

    def run(self, *, flow_kind: str, action: str, request_id: str, seconds: float, outcome: str) -> None:
        """A run is over: ``outcome`` is how its request ended (``completed``, or ``failed``, ``aborted``,
        ``interrupted``), or ``lost`` if another server ended it."""

    def block(
        self,
        *,
        flow_kind: str,
        path: tuple[str, ...],
        kind: str,
        request_id: str,
        seconds: float,
        outcome: str,
    ) -> None:
        """A block ran: ``completed``, ``failed`` or ``cancelled``."""

    def model_call(
        self,
        *,
        provider: str,
        model: str,
        request_id: str,
        seconds: float,
        tokens_in: int,
        tokens_out: int,
        outcome: str,
    ) -> None:
        """A generator called a language model: ``OK``, ``cancelled``, or the class of the error. Provider and model are
        empty, and tokens 0, where the call ended before it told them."""

    def commit(self, *, seconds: float, batches: int, writes: int, refused: int, outcome: str) -> None:
        """The store committed batches as one group; ``refused`` of them it told what was wrong with them. ``outcome``
        is the error of the whole group."""

    def tail(self, *, plane: str, seconds: float, events: int, outcome: str) -> None:
        """Somebody followed a log: to its end (``OK``), until they left (``left``), or until an error."""


NOBODY = Observer()


def shielded(observer: Observer) -> Observer:
    """``observer`` as it is to be called: nothing that it raises comes out."""
    return observer if observer is NOBODY else _Shielded(observer)


class _Shielded(Observer):
    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._broken: set[str] = set()

    def call(self, **told: Any) -> None:
        self._tell("call", told)

    def run(self, **told: Any) -> None:
        self._tell("run", told)

    def block(self, **told: Any) -> None:
        self._tell("block", told)

    def model_call(self, **told: Any) -> None:
        self._tell("model_call", told)

    def commit(self, **told: Any) -> None:
        self._tell("commit", told)

    def tail(self, **told: Any) -> None:
        self._tell("tail", told)

    def _tell(self, what: str, told: dict[str, Any]) -> None:
        try:
            getattr(self._observer, what)(**told)
        except BaseException:  # nothing is awaited there, hence nothing cancelled
            if what not in self._broken:
                self._broken.add(what)
                _logger.exception("the observer broke when it was told of a %s; this is logged once", what)
