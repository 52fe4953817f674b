"""Edit the last message, and have it answered again: ``python -m examples.edit_and_answer_again``.

What a person took back is gone for good: from the conversation, from what the assistant reads, and from the store.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from examples.chat.server_process import served
from flowstate_client import FlowStateClient


async def edit_and_answer_again(client: FlowStateClient, session_id: str, message: str) -> str:
    taken_back: list[str] = []
    async for item in client.sessions.items(session_id, newest_first=True):
        taken_back.append(item.item_id)
        if item.role == "user":
            break
    await client.sessions.remove_items(session_id, taken_back)
    say = {"message": message}
    return await client.flows.call("chat", "say", say, output=str, session_id=session_id)


async def show(client: FlowStateClient, session_id: str) -> None:
    async for item in client.sessions.items(session_id):
        print(f"{item.role:>10}  {item.content['parts'][0]['text']}")
    print()


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="flowstate-edit-") as folder:
        log = Path(folder, "server.log")
        async with (
            served("examples.chat:flowstate", store="memory", log=log) as server,
            FlowStateClient.connect(server.address, plane="trusted", user="ada") as client,
        ):
            session = await client.sessions.create("chat")
            for message in ("Hello!", "Please plan a trip to Lisbin."):
                await client.flows.call("chat", "say", {"message": message}, session_id=session.id)
            await show(client, session.id)
            await edit_and_answer_again(client, session.id, "Please plan a trip to Lisbon.")
            await show(client, session.id)


if __name__ == "__main__":
    asyncio.run(main())
