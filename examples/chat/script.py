"""A stand-in for a language model: short answers by simple rules."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from examples.chat.preferences import Tone

SECONDS_A_WORD = 0.004


def new_topic(message: str) -> str:
    """What the message wants to have planned; empty if nothing."""
    found = re.search(r"\bplan (?:an? |my |our |the )?([^.!?]+)", message, re.IGNORECASE)
    return found.group(1).strip() if found else ""


def answer(message: str, said: Sequence[str], topics: Sequence[str]) -> str:
    """The answer to ``message``, after the user ``said`` other things."""
    if topic := new_topic(message):
        return f"Good, let us plan the {topic}. When do you want to go, and for how long?"
    if re.search(r"\b(where were we|remember)\b", message, re.IGNORECASE):
        return _memory(said, topics)
    if topics:
        return f"Noted for the {topics[-1]}: {message.rstrip('.!?')}."
    return "Hello! I am only a script, but I forget nothing. What shall we plan?"


def in_tone(text: str, tone: Tone) -> str:
    if tone == "cheerful":
        return f"{text} How exciting!"
    return f"Arr! {text} Aye." if tone == "pirate" else text


async def words(text: str) -> AsyncIterator[str]:
    """``text`` word by word, at the pace of a model that is in a hurry."""
    for word in re.findall(r"\S+\s*", text):
        await asyncio.sleep(SECONDS_A_WORD)
        yield word


def _memory(said: Sequence[str], topics: Sequence[str]) -> str:
    if not said:
        return "We have only just met."
    plan = f"We are planning the {topics[-1]}" if topics else "We have no plan yet"
    return f'{plan}. You began with "{said[0]}", and the last thing you told me was "{said[-1]}"'
