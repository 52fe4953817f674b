"""A block that answers, word by word, and keeps what is being planned."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from examples.chat import script
from examples.chat.preferences import Preferences
from examples.chat.say import Say
from flowstate_server.flows import Context, ItemKind, Turns, handler


class Planning(BaseModel):
    mode: Literal["chat", "agent"] = "chat"
    topics: list[str] = []


@handler(session_state=Planning, user_state=Preferences)
async def reply(say: Say, ctx: Context[Planning, Preferences]) -> str:
    history = await ctx.session.items.history(Turns(20))
    said = [item.text for item in history if item.role == "user"]
    await ctx.add_item(ItemKind.MESSAGE, say.message, role="user")

    topic = script.new_topic(say.message)
    if topic:
        async with ctx.session.batch() as batch:
            batch.patch_state(mode="agent")
            batch.push_state("topics", topic)

    answer = script.answer(say.message, said, ctx.session.state.topics)
    async with ctx.message(role="assistant") as message:
        async for word in script.words(script.in_tone(answer, ctx.user.state.tone)):
            await message.write(word)
    return message.text
