"""What a user says."""

from __future__ import annotations

from pydantic import BaseModel


class Say(BaseModel):
    message: str
