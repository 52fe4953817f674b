"""docs/guides/other-languages.md: what it names is in the contract, what it quotes is in examples that are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor

import flowstate_client  # noqa: F401 - brings the contract into the pool of descriptors

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/guides/other-languages.md").read_text()
SERVICES = [path.stem for path in sorted((CHECKOUT / "protos/flowstate/v1").glob("*_service.proto"))]
GRPCURL = [shlex.split(line.removeprefix("$ ")) for line in TEXT.splitlines() if line.startswith("$ grpcurl")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def method(name: str) -> MethodDescriptor:
    service, _, method_name = name.rpartition("/")
    found: MethodDescriptor = (
        descriptor_pool.Default().FindServiceByName(service).methods_by_name[method_name]
    )
    return found


@pytest.mark.parametrize("name", re.findall(r"`(\w+Service\.\w+)`", TEXT))
def test_methods_that_are_named_are_in_the_contract(name: str) -> None:
    assert method(f"flowstate.v1.{name.replace('.', '/')}").full_name == f"flowstate.v1.{name}"


@pytest.mark.parametrize("words", [words for words in GRPCURL if "-d" in words], ids=lambda words: words[-1])
def test_messages_for_grpcurl_are_those_of_the_method(words: list[str]) -> None:
    request = message_factory.GetMessageClass(method(words[-1]).input_type)()
    json_format.Parse(words[words.index("-d") + 1], request)
    assert request.ListFields()


@pytest.mark.parametrize(
    ("language", "quoted"), [("ts", "examples/node/src/errors.ts"), ("cpp", "examples/cpp/smoke.cpp")]
)
def test_what_is_quoted_stands_in_an_example(language: str, quoted: str) -> None:
    lines = [line.strip() for line in (CHECKOUT / quoted).read_text().splitlines()]
    for block in blocks(language):
        said = [line.strip() for line in block.splitlines()]
        assert said in [lines[at : at + len(said)] for at in range(len(lines))]


def test_rust_generates_every_service() -> None:
    (names,) = re.findall(r"let files = \[(.*?)\]", blocks("rust")[0])
    assert [f"{name}_service" for name in re.findall(r'"(\w+)"', names)] == SERVICES
