"""Writes that forget what was deleted, and one that only tells what a batch would do."""

from __future__ import annotations

from flowstate_server.model.frozen import frozen
from flowstate_server.model.tombstones import DeletedState
from flowstate_server.stores.contract.writes import CommitResult, Write


@frozen
class ForgetState(Write):
    """Forget a tombstone, and that it was to be forgotten. A record that was made anew since then stays.

    The owner's floor rises to its version: what is made anew later begins above that.
    """

    deleted: DeletedState


@frozen
class Withhold(Write):
    """The last write of a batch that is decided like any other and then dropped.

    Where it would have been committed, ``Store.commit`` raises :class:`Withheld` with its result; where it would have
    been refused, the error of that. One that repeats an earlier batch is answered as a repeat, which writes nothing.
    """


class Withheld(Exception):
    """What a batch with :class:`Withhold` would have been answered: the results of its other writes. Nothing of it was
    written."""

    def __init__(self, result: CommitResult) -> None:
        super().__init__("the batch was only to be decided")
        self.result = result
