"""The flows that authors serve together."""

from __future__ import annotations

from typing import Any

from flowstate_server.errors import ActionNotFoundError
from flowstate_server.flows.action import Action
from flowstate_server.flows.flow import Flow
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.programs.catalogue import Catalogue


class FlowRegistry(Catalogue[Flow]):
    """A catalogue of flows made by ``define_flow``."""

    def action(self, kind: str, name: str) -> Action[Any, Any]:
        """
        Raises:
            FlowNotFoundError: no such flow.
            ActionNotFoundError: the flow has no such action.
        """
        actions = self.get(kind).actions
        action = actions.get(name)
        if action is None:
            raise ActionNotFoundError(kind, name, nearest_or_known(name, actions))
        return action
