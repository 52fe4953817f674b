"""The columns that records are kept in, and how a value is kept in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from flowstate_server.model.documents import decode_key, encode_key
from flowstate_server.model.json_values import EMPTY_OBJECT, decode_json, encode_json
from flowstate_server.stores.tables import numbers
from flowstate_server.stores.tables.numbers import Row

_Change = Callable[[Any], Any] | Mapping[Any, Any] | Sequence[Any]


class Codec(NamedTuple):
    """What a value is changed by: a function, or what maps the one to the other."""

    encode: _Change | None
    decode: _Change | None


def _optional(encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], nothing: Any) -> Codec:
    """``NULL`` stands for ``nothing``."""
    return Codec(
        lambda value: encode(value) if value else None,
        lambda kept: nothing if kept is None else decode(kept),
    )


def _decode_texts(text: bytes) -> tuple[str, ...]:
    return tuple(cast(list[str], decode_json(text)))


FLAG = Codec(None, bool)
TEXT = Codec(str.encode, bytes.decode)
TEXTS = _optional(encode_json, _decode_texts, ())
BLOCK_PATH = Codec(*(lru_cache(1024)(cast("Callable[[Any], Any]", change)) for change in TEXTS))
"""Remembered: a run's events, hundreds a second, come from few blocks."""
SCOPE = Codec(numbers.SCOPE_NUMBERS, numbers.SCOPES)

_CODECS = {
    **dict.fromkeys(("ephemeral", "present", "transient", "removed", "fenced"), FLAG),
    **dict.fromkeys(("title", "description", "fingerprint", "gate", "trace", "correlation_id"), TEXT),
    **dict.fromkeys(("item_id", "role", "name"), TEXT),
    "tags": TEXTS,
    "block_path": BLOCK_PATH,
    "metadata": Codec(TEXTS.encode, lambda kept: decode_json(kept or EMPTY_OBJECT)),
    "scopes": Codec(numbers.encode_scopes, numbers.decode_scopes),
    "input": Codec(None, lambda kept: kept or b""),  # a query may leave it out
    "failure": _optional(numbers.encode_failure, numbers.decode_failure, None),
    "reason": _optional(str.encode, bytes.decode, ""),
    "cancel_reason": Codec(str.encode, lambda kept: None if kept is None else kept.decode()),
    "generations": _optional(encode_json, numbers.decode_generations, ()),
    "key": Codec(encode_key, decode_key),
    "status": Codec(numbers.STATUS_NUMBERS, numbers.STATUSES),
    "type": Codec(numbers.EVENT_NUMBERS, numbers.EVENTS),
    "kind": Codec(numbers.ITEM_NUMBERS, numbers.ITEMS),
    "audiences": Codec(numbers.AUDIENCE_SETS, numbers.AUDIENCES),
}
"""By column. A name means the same in all tables, but for ``kind``, which is an item's here."""


class Columns:
    """Columns by name, apart by spaces. Each holds the attribute of a record that has its name, or the one that is
    given as ``name=attribute``.

    ``values(record)`` are what is kept of it; ``read(row)`` gives the attributes that a row holds, in the order of the
    columns.
    """

    def __init__(self, columns: str, **codecs: Codec) -> None:
        parts = [part.partition("=") for part in columns.split()]
        known = {name: (_CODECS | codecs).get(name, Codec(None, None)) for name, _, _ in parts}
        kept = [(name, f"record.{attribute or name}", known[name].encode) for name, _, attribute in parts]
        found = [(name, f"row[{place}]", known[name].decode) for place, (name, _, _) in enumerate(parts)]
        self._names = [name for name, _, _ in parts]
        self.names = ", ".join(self._names)
        self.width = len(parts)
        self.values: Callable[[Any], Row] = _compiled("record", "({},)", kept)
        self.read: Callable[[Sequence[Any]], list[Any]] = _compiled("row", "[{}]", found)

    def of(self, letter: str) -> str:
        """The columns of the table that a query calls ``letter``."""
        return ", ".join(f"{letter}.{name}" for name in self._names)


def _compiled(argument: str, form: str, parts: list[tuple[str, str, _Change | None]]) -> Any:
    """Written out, as dataclasses are: a loop takes twice as long, and a page of events goes round it a thousand times.

    Of each part the name, the value, and what is done to it."""
    values = [
        value if change is None else f"{name}({value})" if callable(change) else f"{name}[{value}]"
        for name, value, change in parts
    ]
    changes = {name: change for name, _, change in parts}
    return eval(f"lambda {argument}: {form.format(', '.join(values))}", changes)


# Most are in the order of their record's fields.

SESSION = Columns(
    "tenant=key.tenant session_id=key.session_id log_id flow_kind user_id org_id ephemeral create_time update_time"
    " version title description tags metadata delete_time"
)
SESSION_METADATA = Columns("update_time version title description tags metadata delete_time")
SESSION_HEAD = Columns("sequence turns activity_time floor")

REQUEST = Columns(
    "tenant=head.key.tenant request_id=head.key.request_id log_id=head.log_id user_id=head.user_id"
    " fingerprint=head.fingerprint create_time=head.create_time flow_kind action org_id scopes input"
    " gate=head.gate timeout trace correlation_id"
)
REQUEST_HEAD = Columns("process status open=status.open attempt start_time sequence end_time cancel_reason")
OUTCOME = Columns("output failure reason")
TURN = Columns("first last")

_STATE_KEY = "kind=key.kind tenant=key.tenant id=key.id flow_kind=key.flow_kind"
_STATE_HEAD = "version incarnation present=exists"
_STATE = f"{_STATE_HEAD} text create_time update_time generations schema_hash"
STATE = Columns(f"{_STATE_KEY} {_STATE}", kind=SCOPE)
STATE_HEAD = Columns(f"{_STATE_KEY} {_STATE_HEAD}", kind=SCOPE)
STATE_VALUES = Columns(_STATE)

EVENT = Columns(
    "sequence time type=event.type payload=event.payload audiences=event.audiences transient=event.transient"
    " block_path=event.block_path"
)
ITEM = Columns("item_id kind item_index=index content role name audiences removed")

PROCESS = Columns("process lease renew_time fenced")
DOCUMENT_VALUES = Columns("version incarnation text create_time update_time expire_time present")
DOCUMENT = Columns(f"key {DOCUMENT_VALUES.names.replace(',', '')}")
