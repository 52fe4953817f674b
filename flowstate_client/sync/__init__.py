"""The synchronous client, for scripts, threads and frameworks without an event loop.

::

    from flowstate_client.sync import FlowStateClient

    with FlowStateClient.connect("127.0.0.1:7437", user="u1") as client:
        print(client.flows.call("chat", "say", {"message": "hi"}, session_id="s1", output=str))

        run = client.flows.dispatch("chat", "say", {"message": "go on"}, session_id="s1")
        for event in run.events():
            print(event.type)
        print(run.result(str))

Everything has the name that it has in :mod:`flowstate_client`, without ``await`` and ``async``; values and errors are
the same classes and are imported from there. A client works on a thread of its own, with the asynchronous client, and
waits for it: :class:`FlowStateClient` says what follows from that.
"""

import sys as _sys

from flowstate_client.errors import hides_our_frames as _hides_our_frames
from flowstate_client.sync.client import FlowStateClient
from flowstate_client.sync.content_stream import ContentStream
from flowstate_client.sync.contents import ContentSource
from flowstate_client.sync.event_view import EventsWithView
from flowstate_client.sync.flows import Flows
from flowstate_client.sync.journal import Journals
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.resource_handle import ResourceHandle
from flowstate_client.sync.resources import OwnedResources, Resources
from flowstate_client.sync.runs import ActionStream, RunHandle
from flowstate_client.sync.server import Server
from flowstate_client.sync.sessions import Sessions
from flowstate_client.sync.state import ScopeHandle, States
from flowstate_client.sync.state_batch import ScopeBatch, StateBatch
from flowstate_client.sync.stream import EventStream
from flowstate_client.sync.watch import SnapshotWatch

__all__ = [
    "ActionStream",
    "ContentSource",
    "ContentStream",
    "EventStream",
    "EventsWithView",
    "FlowStateClient",
    "Flows",
    "Journals",
    "OwnedResources",
    "Pager",
    "ResourceHandle",
    "Resources",
    "RunHandle",
    "ScopeBatch",
    "ScopeHandle",
    "Server",
    "Sessions",
    "SnapshotWatch",
    "StateBatch",
    "States",
]

for _name, _module in list(_sys.modules.items()):
    if f"{_name}.".startswith(f"{__name__}."):
        vars(_module)["__tracebackhide__"] = _hides_our_frames
