"""What makes a batch that comes twice be written once."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.stores.contract.writes.batches import Write


@frozen
class PutIdempotencyKey(Write):
    """Remember this batch's results under ``key`` for ``window``.

    Looked at before every other write of its batch: a remembered key with the same fingerprint writes nothing and
    gives the remembered results (:attr:`CommitResult.replayed`), with another one it refuses the batch with
    ``IdempotencyKeyReusedError``. A refused batch is not remembered.
    """

    key: IdempotencyKey
    fingerprint: str
    window: Micros
