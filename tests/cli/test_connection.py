from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowstate_server.cli import connection
from tests.cli.flowstate_command import CHECKOUT, flowstate, started, told

COMMANDS = {"call": ("call", "chat", "say", '{"message": "hello"}'), "tail": ("tail", "nobody")}
CERTIFICATE = CHECKOUT / "tests/support/tls/localhost.cert.pem"
KEY = CHECKOUT / "tests/support/tls/localhost.key.pem"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REACH_SECONDS", 0.3)


@pytest.fixture(scope="module")
def tls_server() -> Iterator[str]:
    command = ("serve", "examples.chat:flowstate", "--listen", "127.0.0.1:0")
    with started(*command, "--tls-cert", str(CERTIFICATE), "--tls-key", str(KEY)) as process:
        yield str(told(process, "listening")["address"])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_server_is_said_in_one_line(command: tuple[str, ...]) -> None:
    done = flowstate(*command, "--server", "127.0.0.1:1")
    assert done.code == 3
    assert done.stdout == ""
    assert done.stderr == "flowstate: no server at 127.0.0.1:1\n"


@pytest.mark.usefixtures("impatient")
def test_tls_that_is_missing_is_hinted_at(tls_server: str) -> None:
    done = flowstate(*COMMANDS["tail"], "--server", tls_server)
    assert done.code == 3
    assert "if it speaks TLS, add --tls" in done.stderr


@pytest.mark.usefixtures("impatient")
def test_tls_to_a_server_without_it_is_named(chat_server: str) -> None:
    done = flowstate(*COMMANDS["tail"], "--server", chat_server, "--tls")
    assert done.code == 3
    assert "the server does not speak TLS" in done.stderr


@pytest.mark.usefixtures("impatient")
def test_a_certificate_that_is_not_trusted_is_named(tls_server: str) -> None:
    done = flowstate(*COMMANDS["tail"], "--server", tls_server, "--tls")
    assert done.code == 3
    assert "--tls-ca" in done.stderr


def test_a_trusted_certificate(tls_server: str) -> None:
    server = tls_server.replace("127.0.0.1", "localhost")
    assert flowstate(*COMMANDS["call"], "--server", server, "--tls-ca", str(CERTIFICATE)).code == 0


def test_a_token_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[tokens]]\ntoken = "of-nobody"\n')
    command = ("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0", "--tokens", str(tokens))
    with started(*command) as process:
        server = str(told(process, "listening")["address"])
        for name, arguments in COMMANDS.items():
            done = flowstate(*arguments, "--server", server)
            assert (done.code, done.stdout) == (1, ""), name
            assert "CREDENTIALS_INVALID" in done.stderr
            assert "give --token or FLOWSTATE_TOKEN" in done.stderr
            assert "connect(" not in done.stderr


ADDRESSES = {
    "http://127.0.0.1:7437/": "give 127.0.0.1:7437 without http://",
    "localhost": "must be host:port",
    "::1:7437": "must be host:port",
    "localhost:http": "must be host:port",
}


@pytest.mark.parametrize(("server", "problem"), ADDRESSES.items(), ids=ADDRESSES)
def test_what_is_no_address_is_a_misuse(server: str, problem: str) -> None:
    done = flowstate(*COMMANDS["tail"], "--server", server)
    assert done.code == 2
    assert problem in done.stderr
    assert done.stderr.startswith(f"flowstate: --server {server!r}")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "trusted", "cause"),
    [
        ("elsewhere", "elsewhere", "mismatch"),
        ("expired", "expired", "expired"),
        ("localhost", "other", "--tls-ca names a file of those to trust"),
    ],
)
def test_a20_why_a_certificate_is_refused_is_told(name: str, trusted: str, cause: str) -> None:
    tls = CERTIFICATE.parent
    command = ("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0")
    pair = ("--tls-cert", str(tls / f"{name}.cert.pem"), "--tls-key", str(tls / f"{name}.key.pem"))
    with started(*command, *pair) as process:
        server = str(told(process, "listening")["address"]).replace("127.0.0.1", "localhost")
        for asked in COMMANDS.values():
            done = flowstate(*asked, "--server", server, "--tls-ca", str(tls / f"{trusted}.cert.pem"))
            assert done.code == 3
            assert done.stderr.startswith(
                f"flowstate: no connection to {server}: its certificate is refused: "
            )
            assert cause in done.stderr.lower()
            assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "content", ["garbage", "", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_a20_a_file_that_holds_no_certificate_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(content)
    done = flowstate(*COMMANDS["tail"], "--server", "localhost:1", "--tls-ca", str(path))
    assert (done.code, done.stderr) == (2, f"flowstate: --tls-ca {path}: holds no certificate in PEM\n")
