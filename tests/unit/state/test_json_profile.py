"""The JSON profile, as text from outside meets it."""

from __future__ import annotations

import json
import math

import orjson
import pytest
from hypothesis import given, strategies as st

from flowstate_server.errors import JsonInvalidError, JsonLimitError, JsonNumberError
from flowstate_server.model.json_values import canonical_json
from flowstate_server.state.json_fault import find_fault
from flowstate_server.state.json_profile import parse_json
from tests.unit.state.strategies import values

CANARY = "c4nary"


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"null", None),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1.0", 1.0),
        (b"1e2", 100.0),
        (b"-0", 0),
        (b"1e-400", 0.0),
        (b"1e300", 1e300),
        (b"18446744073709551616.0", 2.0**64),
        (b"18446744073709551616e0", 2.0**64),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":18446744073709551616,"a":2}', {"a": 2}),
        (b'["\\u0000", "\\ud83d\\ude00", " \xc3\xa9"]', ["\0", "\U0001f600", " é"]),
        (
            b'{"18446744073709551616": [1e19, "18446744073709551616"]}',
            {"18446744073709551616": [1e19, str(2**64)]},
        ),
        (b' {"" : [ ] } \n', {"": []}),
        (nested(64), json.loads(nested(64))),
        (b'{"' + b"k" * 256 + b'":1}', {"k" * 256: 1}),
    ],
)
def test_takes_what_the_profile_allows(text: bytes, value: object) -> None:
    parsed = parse_json(text, "")
    assert parsed == value
    assert orjson.dumps(parsed) == orjson.dumps(value), "1 and 1.0 are told apart"


def test_negative_zero_keeps_its_sign() -> None:
    zero = parse_json(b"-0.0", "")
    assert type(zero) is float
    assert math.copysign(1.0, zero) == -1.0


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        (b"9223372036854775808", "", "line 1 column 1"),
        (b"18446744073709551615", "", "line 1 column 1"),
        (b'{"a": [1, 18446744073709551616]}', "/a/1", "line 1 column 11"),
        (b'{"a":\n [1,\n -9223372036854775809]}', "/a/1", "line 3 column 2"),
        (b"[1e30, 100000000000000000000]", "/1", "line 1 column 8"),
        (b'{"a": {"b/c": 1E400}}', "/a/b~1c", "line 1 column 15"),
        (b"[-1E400]", "/0", "line 1 column 2"),
        (b"1" * 5000, "", "line 1 column 1"),
        (b"[true, NaN]", "/1", "line 1 column 8"),
        (b'{"x": Infinity}', "/x", "line 1 column 7"),
        (b"[-Infinity]", "/0", "line 1 column 2"),
    ],
)
def test_refuses_numbers_that_would_change(text: bytes, path: str, place: str) -> None:
    with pytest.raises(JsonNumberError) as refused:
        parse_json(text, "/input")
    assert refused.value.path == "/input" + path
    assert refused.value.problem.endswith(place)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"", ""),
        (b"\xef\xbb\xbf{}", ""),
        (b'"\xff"', ""),
        (b'"\xed\xa0\x80"', ""),
        (b'{"a": ["\\ud800"]}', "/a/0"),
        (b'{"a": {"\\udc00": 1}}', "/a"),
        (b'["\\ud800\\u0041"]', "/0"),
        (b"[1,]", ""),
        (b"{'a': 1}", ""),
        (b'["unterminated', ""),
        (b'"\x00"', ""),
        (b"01", ""),
        (b"1.", ""),
        (b".5", ""),
        (b"+1", ""),
        (b"[1] 2", ""),
        (b"]", ""),
        (b'"\\x"', ""),
        (b"nul", ""),
        ('{"a": 1}'.encode("utf-16"), ""),
    ],
)
def test_refuses_what_is_not_json(text: bytes, path: str) -> None:
    with pytest.raises(JsonInvalidError) as refused:
        parse_json(text, "/in")
    assert refused.value.path == "/in" + path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (nested(65), "/0" * 64),
        (nested(2000), "/0" * 64),
        (b"[" * 100_000, "/0" * 64),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "/a" * 64),
        (b'{"a": {"' + b"k" * 257 + b'": 1}}', "/a"),
        (('[{"' + "é" * 129 + '": 1}]').encode(), "/0"),
    ],
)
def test_refuses_what_is_too_deep_or_has_too_long_a_key(text: bytes, path: str) -> None:
    with pytest.raises(JsonLimitError) as refused:
        parse_json(text, "")
    assert refused.value.path == path


def test_a_byte_order_mark_is_called_one() -> None:
    with pytest.raises(JsonInvalidError, match="byte order mark"):
        parse_json(b"\xef\xbb\xbf{}", "")


def test_a_number_after_the_syntax_error_is_not_blamed() -> None:
    with pytest.raises(JsonInvalidError, match="line 1 column 2"):
        parse_json(b"[} 1E400", "")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("18446744073709551616", JsonNumberError),
        ("-9223372036854775809", JsonNumberError),
        ("1" * 5000, JsonNumberError),
        ("1e999", JsonNumberError),
        ("NaN", JsonNumberError),
        ('"\\ud800"', JsonInvalidError),
        ("}", JsonInvalidError),
        ("[" * 100 + "]" * 100, JsonLimitError),
        ("[" * 5000, JsonLimitError),
        ('{"' + "k" * 257 + '":1}', JsonLimitError),
    ],
)
def test_a_fault_behind_a_long_list_is_still_found(fault: str, kind: type[Exception]) -> None:
    """Where a parser runs out of room before it has come to the fault."""
    text = '{\n  "n":\n[' + "1," * 3000 + fault + "]}"
    with pytest.raises(kind, match="at line 3 column 6"):
        parse_json(text.encode(), "")


@pytest.mark.parametrize(
    "text", ['["c4nary\\ud800"]', '{"a": "c4nary', '["c4nary", 1E400]', "c4nary", '{"a": "c4nary" "b"}']
)
def test_errors_hold_no_value(text: str) -> None:
    with pytest.raises((JsonInvalidError, JsonNumberError)) as refused:
        parse_json(text.encode(), "")
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(refused.value.__cause__)


def test_looking_for_faults_stays_linear() -> None:
    assert find_fault('"' + '\\"' * 300_000) is None
    assert find_fault('["' + "a" * 1_000_000) is None


@given(values)
def test_any_clean_value_survives(value: object) -> None:
    assert canonical_json(parse_json(orjson.dumps(value), "")) == orjson.dumps(
        value, option=orjson.OPT_SORT_KEYS
    )


@given(st.integers(-(2**70), 2**70), st.booleans())
def test_an_integer_is_kept_exactly_or_refused(number: int, inside: bool) -> None:
    text = f'{{"n": [{number}]}}' if inside else str(number)
    if -(2**63) <= number < 2**63:
        assert str(number) in orjson.dumps(parse_json(text.encode(), "")).decode()
    else:
        with pytest.raises(JsonNumberError):
            parse_json(text.encode(), "")
