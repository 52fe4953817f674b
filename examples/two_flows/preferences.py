"""What a user prefers: one record, which flows share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

Tone = Literal["plain", "cheerful"]


class Preferences(BaseModel):
    tone: Tone = "plain"
    language: str = "en"
