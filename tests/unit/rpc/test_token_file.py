from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flowstate_server.model.identity import Plane, Principal, Tenant
from flowstate_server.rpc.token_file import read_tokens

DIGEST = hashlib.sha256(b"a secret").digest()


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[[tokens]]\nname = "shop"\nsha256 = "{DIGEST.hex()}"\ntenant = "acme"\nplane = "trusted"\n'
        '[[tokens]]\ntoken = "plain text"\nuser = "u1"\norg = "o1"\n'
    )
    shop, plain = read_tokens(file)
    assert shop == (DIGEST, Principal(Tenant("acme"), plane=Plane.TRUSTED, name="shop"))
    assert plain[0] == hashlib.sha256(b"plain text").digest()
    assert plain[1].user == "u1"
    assert plain[1].name == f"token-{plain[0].hex()[:12]}"


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"tokens": [{"token": "a secret"}]}))
    assert read_tokens(file)[0][0] == DIGEST


@pytest.mark.parametrize(
    "content",
    [
        "",
        "tokens = []",
        "[[tokens]]",
        '[[tokens]]\ntoken = "open sesame"\nsha256 = "' + "0" * 64 + '"',
        '[[tokens]]\nsha256 = "sesame"',
        '[[tokens]]\ntoken = "open sesame"\nplane = "root"',
        '[[tokens]]\ntoken = "open sesame"\nrole = "root"',
        '[[tokens]]\ntoken = "open sesame"\ntenant = "a/b"',
        '[[tokens]]\ntoken = "open sesame"\n[[tokens]]\ntoken = "open sesame"',
        "[[tokens]\ntoken = sesame",
    ],
)
def test_a_file_that_does_not_fit_is_refused_without_a_word_of_its_tokens(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(content)
    with pytest.raises(ValueError) as refusal:
        read_tokens(file)
    assert str(file) in str(refusal.value)
    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", 'must be an object with "tokens"'),
        ('{"tokens": {}}', "tokens: must be a list of at least one token"),
        ('{"token": []}', "token: there is no such setting"),
        ('{"tokens": ["sesame"]}', "tokens.0: must be an object"),
        ('{"tokens": [{"token": "open sesame"}, {"token": 5}]}', "tokens.1.token: must be a string"),
        (
            '{"tokens": [{"token": "open sesame", "plane": "root"}]}',
            'tokens.0.plane: must be "client" or "trusted"',
        ),
        (
            '{"tokens": [{"token": "open sesame", "user": "a\\nb"}]}',
            "tokens.0.user: must be at most 128 characters",
        ),
        ('{"tokens": [{"name": "shop"}]}', "tokens.0: give either sha256 or token"),
    ],
)
def test_what_does_not_fit_is_told_by_its_place(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(content)
    with pytest.raises(ValueError) as refusal:
        read_tokens(file)
    assert str(refusal.value).startswith(f"token file {file}: {problem}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tokens\.toml"):
        read_tokens(tmp_path / "tokens.toml")


@pytest.mark.parametrize("text", ["", "\n"])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_a10_the_hash_of_an_empty_token_is_refused(
    tmp_path: Path, text: str, change: Callable[[str], str]
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'[[tokens]]\nsha256 = "{change(hashlib.sha256(text.encode()).hexdigest())}"\n')
    with pytest.raises(ValueError, match=r"tokens\.0\.sha256: is the hash of an empty token"):
        read_tokens(file)


@pytest.mark.parametrize("text", ["x", "hunter2", "       x"])
def test_a10_a_short_token_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'[[tokens]]\ntoken = "{text}"\n')
    with pytest.raises(ValueError, match=r"tokens\.0\.token: must have at least 8 characters") as refusal:
        read_tokens(file)
    assert text.strip() not in str(refusal.value).replace(str(file), "").split()
