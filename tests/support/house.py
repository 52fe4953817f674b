"""A house: the names and texts of one owner, and the flows that it is furnished with."""

from __future__ import annotations

import asyncio
import secrets
import string
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from pydantic import BaseModel

from flowstate_server.flows import (
    ClientView,
    Context,
    Org,
    Request,
    ResourceView,
    Session,
    User,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.flows.resources import AnyResource, ResourceScope
from flowstate_server.programs.program import HostedFlow

KIND, APART = "house", "apart"
LISTS = (
    "flows",
    "sessions",
    "sessions of any org",
    "requests",
    "requests of a session",
    "items",
    "journal",
    "resources",
    "resources of a user",
)
"""What is read in pages."""


class Paper(BaseModel):
    shown: str
    hidden: str


class Kept(BaseModel):
    shown: str = ""
    hidden: str = ""


class Said(BaseModel):
    text: str = ""


@handler(session_state=Kept, request_state=Kept)
async def say(said: Said, ctx: Context[Kept, Any, Any, Kept]) -> str:
    await ctx.add_item("message", said.text)
    await ctx.session.patch_state({"shown": said.text, "hidden": said.text})
    return said.text


@handler(session_state=Kept, request_state=Kept)
async def hold(said: Said, ctx: Context[Kept, Any, Any, Kept]) -> None:
    await ctx.request.patch_state({"hidden": said.text})
    await ctx.add_item("message", said.text)
    await asyncio.sleep(3600)


def house_flows() -> tuple[HostedFlow, HostedFlow]:
    """``house`` and ``apart``, which has user and org records of its own."""
    view: Any = ClientView(expose=["shown"], derived={"long": lambda view: view.state.hidden * 2})
    return tuple(  # type: ignore[return-value]  # of two
        define_flow(
            kind=kind,
            session=Session(state=Kept, client=view),
            user=User(state=Kept, client=view),
            org=Org(state=Kept, client=view),
            request=Request(state=Kept),
            isolate_user_state=isolated,
            isolate_org_state=isolated,
            actions={"say": action(block=say), "hold": action(block=hold)},
            resources=_papers(),
        )
        for kind, isolated in ((KIND, False), (APART, True))
    )


def _papers() -> list[AnyResource]:
    shown = ResourceView(expose=["shown"], content=True, live=True)
    return [
        declared
        for scope in get_args(ResourceScope)
        for declared in (
            resource("paper", state=Paper, scope=scope, client=shown),
            resources("papers/*", state=Paper, scope=scope, client=shown),
        )
    ]


@dataclass(frozen=True)
class House:
    """Names and texts of one owner; those that the server issues are empty until it has."""

    user: str
    org: str
    session: str
    ended: str
    """A request of ``say`` that names user and org."""
    bare: str
    """One that leaves both to the credentials, if they are bound."""
    open: str
    key: str
    """The idempotency key of every write that takes one."""
    tag: str
    title: str
    metadata: str
    text: str
    hidden: str
    bound: bool = True
    item: str = ""
    outside: str = ""
    entry: str = ""
    log: str = ""
    """Of the ended request."""
    open_log: str = ""
    session_log: str = ""
    incarnation: str = ""
    of_user: str = ""
    """The incarnation of the user's record."""
    paper: str = ""
    """That of the session's resource."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Page tokens, by the name of the call that continues with them."""

    @property
    def words(self) -> list[str]:
        """Every name and text, in an order that is the same for all houses."""
        return [*self._named().values(), *(self.tokens.get(name, "") for name in sorted(self.tokens))]

    def _named(self) -> dict[str, str]:
        """The fields that are one word."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.type == "str"}

    def never_existed(self) -> House:
        """A house of the same size that nobody has."""
        made: dict[str, Any] = {name: _like(word) for name, word in self._named().items()}
        return replace(self, **made, tokens={name: _like(token) for name, token in self.tokens.items()})

    def issued(self, mark: str) -> House:
        """With something for all that a server would issue."""
        made: dict[str, Any] = {name: word or f"{mark} {name}" for name, word in self._named().items()}
        return replace(self, **made, tokens=dict.fromkeys(LISTS, f"{mark} token"))


def _like(word: str) -> str:
    prefix, mark, rest = word.rpartition("_")
    return prefix + mark + "".join(secrets.choice(_set_of(letter)) for letter in rest)


def _set_of(letter: str) -> str:
    for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
        if letter in letters:
            return letters
    return letter
