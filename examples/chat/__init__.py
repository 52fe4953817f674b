"""A chat with a scripted assistant: counts messages, keeps a plan, speaks in the tone that its user prefers.

Serve it with ``flowstate serve examples.chat:flowstate``, or see ``python -m examples.chat.demo``.
"""

from __future__ import annotations

from examples.chat.count import count
from examples.chat.preferences import prefer
from examples.chat.reply import Planning, reply
from examples.chat.say import Say
from flowstate_server.app import create_flowstate
from flowstate_server.flows import ClientView, Session, User, View, action, define_flow, sequencer


def label(view: View[Planning]) -> str:
    """What an app could show as the name of the conversation."""
    topics = view.state.topics
    return f"Planning: {topics[-1]}" if topics else view.state.mode.title()


chat = define_flow(
    kind="chat",
    description="A conversation with a scripted assistant.",
    session=Session(client=ClientView(expose=["message_count"], derived={"label": label})),
    user=User(client=ClientView(expose=["tone"])),
    actions={
        "say": action(input=Say, block=sequencer("say").tap(count).step(reply), description="Say something."),
        "prefer": action(block=prefer, description="Choose the tone of all answers from now on."),
    },
)

flowstate = create_flowstate(flows=[chat])
