"""Flows: which there are, how they are defined, and what their blocks raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from flowstate_server.errors.kinds import FlowStateError, NotFoundError
from flowstate_server.errors.reasons import Reason


class FlowNotFoundError(NotFoundError):
    """No flow {flow_kind} is registered{hint}

    ``hint`` ends the sentence: which flow may have been meant.
    """

    reason = Reason.FLOW_NOT_FOUND
    flow_kind: str
    hint: str = "."


class ActionNotFoundError(NotFoundError):
    """Flow {flow_kind} has no action {action}{hint}

    ``hint`` ends the sentence: which action may have been meant.
    """

    reason = Reason.ACTION_NOT_FOUND
    flow_kind: str
    action: str
    hint: str = "."


class DependencyNotFoundError(FlowStateError):
    """No dependency is a {asked}: {problem}"""

    asked: str
    problem: str


class AmbiguousBlockNameError(FlowStateError):
    """Several blocks around {block} are named "{name}", so that the target of this name is none of them."""

    block: str
    name: str


class ActionError(FlowStateError):
    """{message}

    Raise it in a block to end the request as failed with words meant for the client. ``code``, a word of yours, arrives
    as ``failure.reason``; ``failure.code`` is an integer, the gRPC code of the kind of failure. ``details`` must be a
    JSON object, ``retryable`` tells callers that a new attempt may succeed.
    """

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = False


class ExplainedActionError(ActionError):
    """{message}: {explanation}

    ``explanation`` is for the author of the flow, in tests and in the log: clients get ``message`` alone.
    """

    explanation: str = ""


class UpgradeResultError(FlowStateError):
    """it returned {returned}, not a dict of fields"""

    returned: str


class FlowDefinitionError(FlowStateError):
    """{problem}"""

    problem: str


class SchemaConflictError(FlowDefinitionError):
    """Two declarations of one thing can't be merged: {problem}"""


class CrossFlowSchemaConflictError(FlowDefinitionError):
    """Flows "{flow_a}" and "{flow_b}" declare incompatible {scope} state schemas
    ({reason}: field "{field}": {problem}). Set isolate_{scope}_state=True on one of the flows to opt out of
    cross-flow sharing, or reconcile the schemas.{elsewhere}

    ``reason`` is ``incompatible-types``, ``incompatible-shape``, ``incompatible-values`` or ``incompatible-upgrades``.
    ``elsewhere`` says where the flow is that another process serves, or where the field is declared. ``others`` are
    the conflicts that were found with this one.
    """

    scope: str
    field: str
    flow_a: str
    flow_b: str
    reason: str
    elsewhere: str = ""
    others: tuple[CrossFlowSchemaConflictError, ...] = ()

    def __str__(self) -> str:
        if not self.others:
            return super().__str__()
        return f"{super().__str__()} There is more: {'; '.join(one.brief for one in self.others)}."

    @property
    def brief(self) -> str:
        return (
            f'{self.scope} field "{self.field}" of "{self.flow_a}" and "{self.flow_b}"'
            f" ({self.reason}: {self.problem})"
        )

    @property
    def detail(self) -> str:
        """How they differ: ``str vs int``."""
        return self.problem
