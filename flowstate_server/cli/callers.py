"""Who calls, as groups of commands have it for options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from flowstate_client import Plane
from flowstate_server.cli.connection import (
    ORG_VARIABLE,
    USER_VARIABLE,
    Connection,
    OnlyOfOrg,
    OnlyOfUser,
    Trusted,
)


@dataclass(frozen=True)
class OfOneSession(Connection):
    """To a session that is named by its id."""

    user: OnlyOfUser = ""
    org: OnlyOfOrg = ""
    trusted: Trusted = False


@dataclass(frozen=True)
class OfOneRequest(Connection):
    """To a request that is named by its id."""

    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE,
            metavar="ID",
            help="Only if it is this user's request, else anybody's; a token decides by itself.",
        ),
    ] = ""
    org: OnlyOfOrg = ""
    trusted: Trusted = False


@dataclass(frozen=True)
class SeenByClients(Connection):
    """To what is the same on both planes, of a session that is named by its id."""

    user: OnlyOfUser = ""
    org: OnlyOfOrg = ""


@dataclass(frozen=True)
class OfMany(Connection):
    """To a list, of which ``user`` and ``org`` are filters, too."""

    user: Annotated[
        str, typer.Option(envvar=USER_VARIABLE, metavar="ID", help="Only those of this user.")
    ] = ""
    org: Annotated[str, typer.Option(envvar=ORG_VARIABLE, metavar="ID", help="Only those of this org.")] = ""
    trusted: Trusted = False


@dataclass(frozen=True)
class ForSomebody(Connection):
    """To something that is made for a user and an org."""

    user: Annotated[
        str,
        typer.Option(
            envvar=USER_VARIABLE,
            metavar="ID",
            help="Whose it is; if not given, and without a token, yours by your login name.",
        ),
    ] = ""
    org: Annotated[str, typer.Option(envvar=ORG_VARIABLE, metavar="ID", help="In which org.")] = ""
    trusted: Trusted = False


@dataclass(frozen=True)
class AsTrusted(Connection):
    """To what only trusted callers may use: there is no other way to call it, so nobody has to say ``--trusted``, and
    everybody may."""

    trusted: Annotated[bool, typer.Option("--trusted", hidden=True)] = False

    @property
    def plane(self) -> Plane | None:
        return None if self.token and not self.trusted else "trusted"


@dataclass(frozen=True)
class OfNobody(Connection):
    """To what is the same for every user."""

    trusted: Trusted = False
