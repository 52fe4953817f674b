"""Language models that gave no answer."""

from __future__ import annotations

from flowstate_server.errors.kinds import FlowStateError


class ModelCallError(FlowStateError):
    """The language model gave no answer: {problem}

    ``problem`` is for the log: it may hold the provider's words, which no client is told.
    """

    problem: str


class ModelUnavailableError(ModelCallError):
    """The language model is not available: {problem}

    ``retry_after`` is the number of seconds after which the provider wants to be asked again, if it says so.
    """

    retry_after: float | None = None


class ModelRefusedError(ModelCallError):
    """The language model refused the call: {problem}"""


class ModelAnswerError(ModelCallError):
    """The language model's answer can't be read: {problem}"""
