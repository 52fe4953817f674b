"""Stores that can't be reached or opened."""

from __future__ import annotations

from flowstate_server.errors.kinds import FlowStateError, ServiceError
from flowstate_server.errors.reasons import Reason


class StoreUnavailableError(ServiceError):
    """The store can't be reached or is overloaded; repeat the call."""

    reason = Reason.STORE_UNAVAILABLE


class UnclearCommitError(StoreUnavailableError):
    """The store can't be reached or is overloaded; repeat the call."""

    # Whether the commit was made can't be learnt. Every other StoreUnavailableError of a commit means that it was not.


class StoreOpenError(FlowStateError):
    """The store can't be opened: {problem}.

    Repeating does not help: the path, the file or the version of FlowState has to change.
    """

    problem: str


class StoreUnreachableError(StoreOpenError):
    """The store can't be opened: {problem}.

    Repeating may help: it is away, or another process has it.
    """
