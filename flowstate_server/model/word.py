"""Enumerations of words that are keys, or parts of keys."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A :class:`~enum.StrEnum` that hashes as its text does.

    ``Enum`` hashes by a function in Python, which takes 75 ns longer, and a call hashes such keys dozens of times.
    """

    __hash__ = str.__hash__
