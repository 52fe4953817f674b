"""A conversation as the app of a user named Ada has it."""

from __future__ import annotations

from examples.chat.transcript import Transcript
from flowstate_client import Event, FlowStateClient, ItemAdded, ItemDelta, ItemDone, RunHandle, StateChange

USER = "ada"


class Conversation:
    """Talks in a session; what comes in is shown as it comes."""

    def __init__(self, client: FlowStateClient, session_id: str, show: Transcript) -> None:
        self._client = client
        self._session_id = session_id
        self._show = show

    async def say(self, message: str) -> RunHandle:
        """Say something, and show the events of the answer as they happen."""
        await self._show.said(USER, message)
        say = {"message": message}
        run = await self._client.flows.dispatch("chat", "say", say, session_id=self._session_id)
        async for event in run.events():
            await self._show_event(event)
        return run

    async def _show_event(self, event: Event) -> None:
        match event:
            case StateChange(changed=changed) if changed:
                self._show.values("state", {path.removeprefix("/"): value for path, value in changed.items()})
            case ItemAdded(item=item) if item.role == "assistant":
                self._show.begins("assistant")
            case ItemDelta(text=text):
                await self._show.speaks(text)
            case ItemDone(item=item) if item.role == "assistant":
                self._show.ends()

    async def prefer(self, tone: str) -> None:
        await self._client.flows.call("chat", "prefer", {"tone": tone}, session_id=self._session_id)
        self._show.note(USER, f'prefers the tone "{tone}" from now on')

    async def show_snapshot(self) -> set[str]:
        """Show everything that a client can see of the session and its user; returns the names."""
        snapshot = await self._client.sessions.snapshot(self._session_id)
        for scope, values in snapshot.client_data.items():
            if values:
                self._show.values(scope, values)
        return {name for values in snapshot.client_data.values() for name in values}
