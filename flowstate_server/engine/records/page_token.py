"""Pages of lists: their size, and tokens, each a place in a list bound to the query it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import PageTokenInvalidError, ValidationFailedError, Violation
from flowstate_server.model.json_values import Json, decode_json, encode_json

# 128 bits: enough against guessing, and tokens stay short.
_DIGEST_BYTES = 16


class PageTokens:
    """Makes and reads page tokens. All servers of a fleet share ``key``, so that any of them continues a list.

    A token edited, or used by another tenant or for another query, is refused.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def make(self, query: Json, position: Json) -> str:
        text = encode_json(position)
        return _encode(self._digest(query, text) + text)

    def read(self, query: Json, token: str) -> Json:
        """The position in ``token``; ``PageTokenInvalidError`` unless it was made for ``query``."""
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise PageTokenInvalidError from None
        digest, text = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        # Base64 has many spellings of the same bytes; only that of make() counts.
        if _encode(raw) != token or not hmac.compare_digest(digest, self._digest(query, text)):
            raise PageTokenInvalidError
        return decode_json(text)

    def _digest(self, query: Json, text: bytes) -> bytes:
        return hmac.digest(self._key, encode_json(query) + b"\n" + text, hashlib.sha256)[:_DIGEST_BYTES]


def page_size(asked: int, settings: EngineSettings) -> int:
    """The size of a page: 0 asks for the default, more than the maximum for the maximum."""
    if asked < 0:
        raise ValidationFailedError((Violation("page_size", "range", "must not be negative"),))
    return min(asked or settings.default_page_size, settings.max_page_size)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
