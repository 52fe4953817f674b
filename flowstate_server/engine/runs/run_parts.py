"""What one request's run is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from flowstate_server.engine.runs.items import RunItems
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.scope_handle import RunScope
from flowstate_server.engine.runs.session_handle import RunSession
from flowstate_server.flows.flow import Flow
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import RequestHead
from flowstate_server.model.scopes import ScopeKind


@frozen
class RunParts:
    """``scopes`` lacks the org's when the session has none; ``loop`` is the server's."""

    head: RequestHead
    flow: Flow
    scopes: Mapping[ScopeKind, RunScope]
    session: RunSession
    items: RunItems
    recorder: Recorder
    loop: asyncio.AbstractEventLoop
