"""Reading JSON text, however it is laid out and whatever one library makes of it."""

from __future__ import annotations

import json
from json import JSONDecodeError

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from flowstate_server.model.json_values import Json, canonical_json, decode_json, encode_json
from tests.unit.state.strategies import values

DENSE: list[Json] = [
    [1] * 3000,
    [[1, 2]] * 940,
    {"n": [0] * 4000, "text": "é\n\N{GRINNING FACE}"},
    [[1.5, -0.0, 1e300, -(2**63), 2**63 - 1], [7] * 5000],
]
BLANKS = st.sampled_from(["", " ", "\n", "\n  ", "\t", "\r\n ", "  "])


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """orjson refuses everything, as it does with some valid text."""

    def refuse(text: bytes | str) -> Json:
        raise orjson.JSONDecodeError("failed to allocate memory", "", 0)

    monkeypatch.setattr(orjson, "loads", refuse)


def laid_out(value: Json, between: str, indent: str | int | None) -> str:
    """An object of ``value`` with blanks behind its brackets; in ``value`` there are none unless ``indent`` says so."""
    if indent is None:
        inner = encode_json(value).decode()
    else:
        inner = json.dumps(value, indent=indent, ensure_ascii=False)
    return f'{{{between}{between}"value"{between}:{between}{inner}{between}}}{between}'


@pytest.mark.parametrize("value", DENSE)
@pytest.mark.parametrize("between", ["\n  ", " \t", "\r\n"])
def test_dense_text_behind_blanks_is_read(value: Json, between: str) -> None:
    text = laid_out(value, between, None)
    for form in (text, text.encode()):
        assert canonical_json(decode_json(form)) == canonical_json({"value": value})


@given(values, st.integers(0, 3000), BLANKS, st.sampled_from([None, 0, 1, 4, "\t"]))
@settings(max_examples=200)
def test_any_layout_gives_the_same_value(
    value: Json, digits: int, between: str, indent: str | int | None
) -> None:
    value = [value, [1] * digits]
    text = laid_out(value, between, indent)
    assert canonical_json(decode_json(text.encode())) == canonical_json({"value": value})


@pytest.mark.usefixtures("refusing")
@given(values)
def test_any_value_is_read_without_orjson(value: Json) -> None:
    assert canonical_json(decode_json(encode_json(value))) == canonical_json(value)


REFUSED = [
    *(
        b"",
        b"NaN",
        b"[-Infinity]",
        b"[1,]",
        b"[1e999]",
        b"01",
        b"1.",
        b"+1",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b"[1] 2",
    ),
    *(
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b'"\x01"',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b"1" * 5000,
        b"{'a':1}",
    ),
]


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.usefixtures("refusing")
def test_what_is_refused_is_refused_without_orjson(text: bytes) -> None:
    with pytest.raises(JSONDecodeError):
        decode_json(text)


def orjson_reads(text: str) -> Json | orjson.JSONDecodeError:
    try:
        return orjson.loads(text)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError as refusal:
        return refusal


@given(st.text('[]{}":,-+.eE019 \n\\ud8truefalsn', max_size=12))
@settings(max_examples=500)
def test_what_orjson_refuses_is_refused_with_its_words(text: str) -> None:
    expected = orjson_reads(text)
    if isinstance(expected, orjson.JSONDecodeError):
        with pytest.raises(JSONDecodeError) as refused:
            decode_json(text)
        assert (refused.value.msg, refused.value.pos) == (expected.msg, expected.pos)
    else:
        assert canonical_json(decode_json(text)) == canonical_json(expected)


def test_the_place_of_a_fault_in_dense_text_is_told() -> None:
    text = laid_out([1] * 3000, "\n  ", None)[:-4] + "]}"
    with pytest.raises(JSONDecodeError) as refused:
        decode_json(text)
    assert refused.value.pos == len(text) - 2
