"""The file of bearer tokens, TOML or JSON (by its suffix), read at the start and on SIGHUP::

    [[tokens]]
    name = "shop backend"           # for logs; entries that are the same in all but the token are one caller (whose
                                    # idempotency keys are its own) only if they share it; default: from the token
    sha256 = "9f86d081884c7d65..."  # SHA-256 of the token in hex (printf %s "$TOKEN" | sha256sum); or ...
    token = "plain text"            # ... the token itself (8 characters or more), where the file is as safe as it
    tenant = "acme"                 # default: the no-tenant space
    user = "u1"                     # default: may act for any user of the tenant
    org = "o1"                      # default: for any org
    plane = "client"                # or "trusted"; default: client

In JSON: ``{"tokens": [{"name": ...}, ...]}``. A file that does not fit is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Plane, Principal, Tenant

# Characters. Too few to be called safe, but enough that none is a slip, such as a variable that was not set. Chosen.
SHORTEST_TOKEN = 8
# What ``printf %s "$TOKEN" | sha256sum``, or ``echo``, makes of a variable that is not set.
_HASHES_OF_NOTHING = frozenset(hashlib.sha256(text).hexdigest() for text in (b"", b"\n"))

_ID = re.compile(r"[^\x00-\x1f\x7f]{0,128}"), "at most 128 characters, none of them a control character"
_FIELDS = {
    "name": _ID,
    "sha256": (re.compile(r"([0-9a-fA-F]{64})?"), "64 hexadecimal digits"),
    "token": (re.compile(r".*", re.DOTALL), "a string"),
    "tenant": (
        re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})?"),
        "at most 128 letters, digits, dots, underscores and hyphens, the first a letter or digit",
    ),
    "user": _ID,
    "org": _ID,
    "plane": (re.compile("client|trusted"), '"client" or "trusted"'),
}


@frozen
class _Token:
    name: str = ""
    sha256: str = ""
    token: str = ""
    tenant: str = ""
    user: str = ""
    org: str = ""
    plane: str = "client"

    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256) if self.sha256 else hashlib.sha256(self.token.encode()).digest()

    def principal(self) -> Principal:
        name = self.name or f"token-{self.digest().hex()[:12]}"
        return Principal(Tenant(self.tenant), self.user, self.org, Plane(self.plane), name)


TokenPrincipals = Sequence[tuple[bytes, Principal]]
"""The SHA-256 of each token with whom it stands for."""


def read_tokens(path: Path) -> TokenPrincipals:
    """The SHA-256 of each token with its principal.

    Raises:
        ValueError: the file can't be read or does not fit; names the file and the place, never a token.
    """
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        tokens = [_token(f"tokens.{place}", given) for place, given in enumerate(_entries(content))]
    except OSError as error:
        raise ValueError(f"token file {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"token file {path}: {error}") from None
    digests = [token.digest() for token in tokens]
    if len(set(digests)) != len(digests):
        raise ValueError(f"token file {path}: a token is given twice")
    return [(digest, token.principal()) for digest, token in zip(digests, tokens, strict=True)]


def _entries(content: object) -> Sequence[object]:
    if not isinstance(content, Mapping):
        raise ValueError('must be an object with "tokens"')
    if unknown := sorted(content.keys() - {"tokens"}):
        raise ValueError(f"{unknown[0]}: there is no such setting")
    entries = content.get("tokens")
    if not isinstance(entries, list) or not entries:
        raise ValueError("tokens: must be a list of at least one token")
    return entries


def _token(place: str, given: object) -> _Token:
    if not isinstance(given, Mapping):
        raise ValueError(f"{place}: must be an object")
    for name, value in given.items():
        if name not in _FIELDS:
            raise ValueError(f"{place}.{name}: there is no such setting")
        pattern, expected = _FIELDS[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{place}.{name}: must be {expected}")
    token = _Token(**given)
    if bool(token.sha256) == bool(token.token):
        raise ValueError(f"{place}: give either sha256 or token")
    if token.sha256.lower() in _HASHES_OF_NOTHING:
        raise ValueError(f"{place}.sha256: is the hash of an empty token; was the variable set?")
    if token.token and len(token.token.strip()) < SHORTEST_TOKEN:
        raise ValueError(f"{place}.token: must have at least {SHORTEST_TOKEN} characters")
    return token
