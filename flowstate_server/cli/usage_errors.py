"""What was typed wrongly, in words of ours: typer tells it in those of the library that reads the values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any

import typer

# What typer raises for it. It names some kinds only, and has had those of click within itself since it left click.
USAGE_ERROR: Any = typer.BadParameter.__base__

# How alike two names have to be. Typer takes 0.6, by which `sessions` would be meant by `version`.
ALIKE = 0.7

_SESSION = "--session"
_WORDS = (
    (re.compile(r"^Value error, "), ""),
    (re.compile(r"^Input should be "), "it has to be "),
    (re.compile(r"\bgreater than or equal to\b"), "at least"),
    (re.compile(r"\bless than or equal to\b"), "at most"),
    (re.compile(r", unable to parse .*"), ""),
    (re.compile(r"\ba valid integer\b"), "a whole number"),
    (re.compile(r"\ba valid number\b"), "a number"),
)
_CHOICES = re.compile(r"^'(?P<typed>.*?)' is not one of (?P<names>'.*')\.?$", re.DOTALL)


def may_mean(typed: str, name: str) -> bool:
    """Whether who typed the one may have meant the other."""
    return name.startswith(typed) or SequenceMatcher(None, name, typed).ratio() >= ALIKE


def reword(error: Any, parameters: Iterable[Any]) -> None:
    """Put ``error`` of typer, about a command with these parameters, into words that help."""
    for pattern, words in _WORDS:
        error.message = pattern.sub(words, error.message)
    if found := _CHOICES.match(error.message):
        names = re.findall(r"'(.*?)'", found["names"])
        near = get_close_matches(found["typed"], names, 1, ALIKE)
        error.message = error.message.rstrip(".") + (f"; did you mean '{near[0]}'?" if near else "")
    if getattr(error, "option_name", None) is not None and getattr(error, "possibilities", None):
        typed = error.option_name.lstrip("-")
        error.possibilities = [one for one in error.possibilities if may_mean(typed, one.lstrip("-"))]
    known = list(parameters)
    if error.message:  # that of a missing argument is made elsewhere
        error.message += _how_a_session_is_named(error, known) or _by_another_name(error, known)


def _by_another_name(error: Any, parameters: list[Any]) -> str:
    """What is not there by the name that others have for it."""
    typed = getattr(error, "option_name", "")
    if typed in ("--port", "--host") and any("--listen" in one.opts for one in parameters):
        return "; where to listen: --listen HOST:PORT"
    if typed == "--timeout":
        return "; the shell has a command for it: timeout 60 flowstate ..."
    owner = getattr(error, "param", None) is not None and error.param.name == "owner"
    if owner and not error.message.endswith("?"):  # nothing is like it: it may be an id
        example = "session s1" if "'session'" in error.message else "user ada"
        return f"; whose it is comes first, as in: {example}"
    return ""


def _how_a_session_is_named(error: Any, parameters: list[Any]) -> str:
    """Commands that are about one session take it without an option, those about something else with one."""
    if getattr(error, "option_name", "") == _SESSION and any(one.name == "session_id" for one in parameters):
        return "; the session is named without it, as SESSION_ID"
    extra = re.match(r"Got unexpected extra arguments? ?\(?s?\)? ?\((\S+)\)$", error.message)
    if extra and any(_SESSION in one.opts for one in parameters):
        return f"; a session? --session {extra[1]}"
    return ""
