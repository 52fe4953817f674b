"""``cancel_on_disconnect``: a stream that takes its run with it when its reader goes away."""

from __future__ import annotations

import asyncio

from flowstate_server.engine.calls.runs import ActionCall, Dispatched
from flowstate_server.engine.engine import Engine
from flowstate_server.errors import ServiceError
from flowstate_server.model.identity import Principal

REASON = "the caller disconnected"


class DisconnectCancel:
    """Dispatches an action for a stream; :meth:`disconnected` then cancels the run if this dispatch created it."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine = engine
        self._principal = principal
        self._dispatching: asyncio.Task[Dispatched] | None = None

    async def dispatch(self, call: ActionCall) -> Dispatched:
        """As the engine's; a caller that leaves meanwhile can still be told of by :meth:`disconnected`."""
        work = self._engine.dispatcher.dispatch(self._principal, call)
        self._dispatching = asyncio.ensure_future(work)
        self._dispatching.add_done_callback(_take_outcome)
        return await asyncio.shield(self._dispatching)

    async def disconnected(self) -> None:
        if self._dispatching is None:
            return
        try:
            dispatched = await self._dispatching
            if not dispatched.attached:
                request_id = dispatched.request.key.request_id
                await self._engine.requests.cancel(self._principal, request_id, REASON)
        except ServiceError:
            return


def _take_outcome(dispatching: asyncio.Task[Dispatched]) -> None:
    """A dispatch that failed after its caller left concerns nobody."""
    if not dispatching.cancelled():
        dispatching.exception()
