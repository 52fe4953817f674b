from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from flowstate_server.model.identity import Plane, Principal, Tenant
from flowstate_server.rpc.token_file import read_tokens

DIGEST = hashlib.sha256(b"secret").digest()


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[[tokens]]\nname = "shop"\nsha256 = "{DIGEST.hex()}"\ntenant = "acme"\nplane = "trusted"\n'
        '[[tokens]]\ntoken = "plain"\nuser = "u1"\norg = "o1"\n'
    )
    shop, plain = read_tokens(file)
    assert shop == (DIGEST, Principal(Tenant("acme"), plane=Plane.TRUSTED, name="shop"))
    assert plain[0] == hashlib.sha256(b"plain").digest()
    assert plain[1].user == "u1"
    assert plain[1].name == f"token-{plain[0].hex()[:12]}"


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"tokens": [{"token": "secret"}]}))
    assert read_tokens(file)[0][0] == DIGEST


@pytest.mark.parametrize(
    "content",
    [
        "",
        "tokens = []",
        "[[tokens]]",
        '[[tokens]]\ntoken = "sesame"\nsha256 = "' + "0" * 64 + '"',
        '[[tokens]]\nsha256 = "sesame"',
        '[[tokens]]\ntoken = "sesame"\nplane = "root"',
        '[[tokens]]\ntoken = "sesame"\nrole = "root"',
        '[[tokens]]\ntoken = "sesame"\ntenant = "a/b"',
        '[[tokens]]\ntoken = "sesame"\n[[tokens]]\ntoken = "sesame"',
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
        ('{"tokens": [{"token": "sesame"}, {"token": 5}]}', "tokens.1.token: must be a string"),
        (
            '{"tokens": [{"token": "sesame", "plane": "root"}]}',
            'tokens.0.plane: must be "client" or "trusted"',
        ),
        (
            '{"tokens": [{"token": "sesame", "user": "a\\nb"}]}',
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
