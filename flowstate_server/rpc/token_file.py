"""The file of bearer tokens, TOML or JSON (by its suffix), read once at the start::

    [[tokens]]
    name = "shop backend"           # tells principals apart in logs and idempotency keys; default: from the token
    sha256 = "9f86d081884c7d65..."  # SHA-256 of the token in hex (printf %s "$TOKEN" | sha256sum); or ...
    token = "plain text"            # ... the token itself, where the file is as safe as the token
    tenant = "acme"                 # default: the no-tenant space
    user = "u1"                     # default: may act for any user of the tenant
    org = "o1"                      # default: for any org
    plane = "client"                # or "trusted"; default: client

In JSON: ``{"tokens": [{"name": ...}, ...]}``. A file that does not fit is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flowstate_server.model.identity import Plane, Principal

_Id = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Token(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: _Id = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$")] = ""
    token: str = ""
    tenant: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")] = ""
    user: _Id = ""
    org: _Id = ""
    plane: Plane = Plane.CLIENT

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if bool(self.sha256) == bool(self.token):
            raise ValueError("give either sha256 or token")
        return self

    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256) if self.sha256 else hashlib.sha256(self.token.encode()).digest()

    def principal(self) -> Principal:
        name = self.name or f"token-{self.digest().hex()[:12]}"
        return Principal(self.tenant, self.user, self.org, self.plane, name)


class _TokenFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    tokens: Annotated[list[_Token], Field(min_length=1)]


def read_tokens(path: Path) -> Sequence[tuple[bytes, Principal]]:
    """The SHA-256 of each token with its principal.

    Raises:
        ValueError: the file can't be read or does not fit; names the file and the place, never a token.
    """
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"token file {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"token file {path}: {error}") from None
    try:
        tokens = _TokenFile.model_validate(content).tokens
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"token file {path}: {place}: {first['msg']}") from None
    digests = [token.digest() for token in tokens]
    if len(set(digests)) != len(digests):
        raise ValueError(f"token file {path}: a token is given twice")
    return [(digest, token.principal()) for digest, token in zip(digests, tokens, strict=True)]
