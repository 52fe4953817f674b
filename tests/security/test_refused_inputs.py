"""An input that is refused is not repeated, whatever refuses it and however."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import grpc
from google.protobuf.message import Message

from flowstate.v1 import flow_service_pb2 as flows
from flowstate_server.errors import Reason
from flowstate_server.model.json_values import Json, encode_json
from tests.security.vault import Vault
from tests.support.canaries import Canaries
from tests.support.hosted import hosted
from tests.support.raw_answers import call_all, call_raw

REFUSED: Mapping[str, object] = {
    "quoted": {"quoted": "refuse {}"},
    "templated": {"templated": "refuse {}"},
    "number": {"number": "{}"},
    "flag": {"flag": "{}"},
    "colour": {"colour": "{}"},
    "word": {"word": "{}"},
    "uuid": {"uuid": "{}"},
    "url": {"url": "{}"},
    "url with a port": {"url": "http://{}:99999999/"},
    "when": {"when": "{}"},
    "price": {"price": "{}"},
    "text": {"text": "{}"},
    "text that is cut": {"text": '{{"{}": '},
    "pattern": {"pattern": "{}"},
    "short": {"short": "{}"},
    "pet": {"pet": {"kind": "{}"}},
    "pet that is none": {"pet": "{}"},
    "either": {"either": {"x": "{}"}},
    "many": {"many": {"k": "{}"}},
    "key": {"keyed": {"{}": "x"}},
    "whole": {"pattern": "7", "quoted": "{}"},
    "list": ["{}"],
    "string": "{}",
}
REFUSED_TEXTS: Mapping[str, str] = {
    "cut": '{{"quoted": "{}',
    "no JSON": "{}",
    "surrogate": '{{"quoted": "{}\\ud800"}}',
    "after the end": '{{}} "{}"',
    "number": '{{"quoted": "{}", "number": 1e999}}',
    "duplicate": '{{"quoted": "{}", "number": 99999999999999999999}}',
    "deep": '{{"quoted": "{}", "pet": ' + "[" * 80 + "]" * 80 + "}}",
    "key too long": '{{"{}' + "x" * 300 + '": 1}}',
}


async def test_refused_inputs_are_not_repeated() -> None:
    canaries = Canaries()
    inputs = {f"value {name}": _fill_in(value, canaries(f"value {name}")) for name, value in REFUSED.items()}
    texts = {name: encode_json(cast(Json, value)).decode() for name, value in inputs.items()}
    texts |= {f"text {name}": text.format(canaries(f"text {name}")) for name, text in REFUSED_TEXTS.items()}
    calls: list[tuple[str, Message]] = []
    for text in texts.values():
        spec = flows.ActionSpec(flow_kind="vault", action="strict", user_id="u1")
        spec.input.json = text
        calls += [
            ("FlowService/DispatchAction", flows.DispatchActionRequest(spec=spec)),
            ("FlowService/CallAction", flows.CallActionRequest(spec=spec)),
            ("FlowService/StreamAction", flows.StreamActionRequest(spec=spec)),
        ]
    async with hosted(Vault().flow) as server:
        answers = await call_all(server.channel, calls, ())
    assert canaries.places == set(texts)
    names = [name for name in texts for _ in range(3)]
    for name, answer in zip(names, answers, strict=True):
        assert answer.refusal.code is grpc.StatusCode.INVALID_ARGUMENT, name
        assert answer.refusal.fields[0].startswith("spec.input"), name
        assert canaries.found(answer.text) == set(), name


async def test_an_input_that_is_not_utf8_is_no_message() -> None:
    canaries = Canaries()
    spec = flows.ActionSpec(flow_kind="vault", action="strict", user_id="u1")
    spec.input.json = f'{{"quoted": "?? {canaries("bytes")}"}}'
    right = flows.CallActionRequest(spec=spec).SerializeToString()
    async with hosted(Vault().flow) as server:
        answer = await call_raw(
            server.channel, "FlowService/CallAction", right.replace(b"??", b"\xff\xfe"), ()
        )
    assert answer.refusal.reason is Reason.MALFORMED_MESSAGE
    assert canaries.found(answer.text) == set()


def _fill_in(value: object, word: str) -> object:
    if isinstance(value, dict):
        return {key.format(word): _fill_in(one, word) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill_in(one, word) for one in value]
    return value.format(word) if isinstance(value, str) else value
