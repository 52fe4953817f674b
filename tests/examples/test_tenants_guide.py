"""The guide to tenants and trust does what it says."""

from __future__ import annotations

from pathlib import Path

from flowstate_server.rpc.token_file import read_tokens
from tests.support.pages import Page

PAGE = Page("docs/guides/tenants.md")
[TOKENS] = PAGE.blocks("toml")
[SERVE] = PAGE.blocks("console")


def test_the_token_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(TOKENS.replace("…", "0" * 64, 1))
    ((_, principal),) = read_tokens(path)
    assert (principal.tenant, principal.name) == ("acme", "shop backend")
    assert "--tokens tokens.toml" in SERVE
