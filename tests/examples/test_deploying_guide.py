"""The files of the guide to deploying name what there is."""

from __future__ import annotations

import configparser
import re
import tomllib

from flowstate_server.settings import PREFIX, SETTINGS
from tests.cli.flowstate_command import flowstate, started, told
from tests.support.pages import CHECKOUT, Page, commands

PAGE = Page("docs/guides/deploying.md")
[UNIT] = PAGE.blocks("ini")
[DOCKERFILE] = PAGE.blocks("dockerfile")
PROBES, TLS_PROBE = PAGE.blocks("yaml")
SERVE, WORKERS, WHEEL = PAGE.blocks("console")
[SET_UP] = PAGE.blocks("sh")

VARIABLES = {PREFIX + name.upper() for name in SETTINGS} | {f"{PREFIX}LOG_LEVEL", f"{PREFIX}LOG_FORMAT"}


def test_the_settings_are_settings() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+\b", PAGE.text))
    assert named
    assert named <= VARIABLES


def test_the_unit_is_one_and_serves_what_the_container_serves() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT)
    assert unit.sections() == ["Unit", "Service", "Install"]
    [serve] = commands(SERVE)
    [workers] = commands(WORKERS)
    assert workers.words[1:3] == serve.words[1:3]
    assert unit["Service"]["ExecStart"].split()[1:] == serve.words[1:3]
    assert '"serve", "my_chat:flowstate"' in DOCKERFILE
    for path in (unit["Service"]["ExecStart"].split("/bin/")[0], unit["Service"]["WorkingDirectory"]):
        assert f" {path}" in SET_UP
    for name, value in re.findall(r"^Environment=(FLOWSTATE_T\w+)=(\S+)$", UNIT, re.MULTILINE):
        folder, _, file = value.rpartition("/")
        assert re.search(rf"^install .* {file} .*{folder}$", SET_UP, re.MULTILINE), name
    assert re.search(rf"^useradd .* {unit['Service']['User']}$", SET_UP, re.MULTILINE)


def test_the_container_takes_the_wheel_that_is_made() -> None:
    [wheel] = commands(WHEEL)
    folder = wheel.words[wheel.words.index("--wheel-dir") + 1]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"COPY {folder} " in DOCKERFILE
    named, extras = re.findall(r"/(\w+)-\*\.whl\)\[(.*?)\]", DOCKERFILE)[0]
    assert named == project["name"].replace("-", "_")
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_the_probes_ask_where_it_listens() -> None:
    ports = set(re.findall(r"\b7\d{3}\b", UNIT + DOCKERFILE + PROBES + TLS_PROBE))
    assert ports == {"7437"}


def test_the_probe_by_a_command_finds_a_server_with_a_certificate() -> None:
    [words] = re.findall(r"command: \[(.*)\]$", TLS_PROBE, re.MULTILINE)
    command, *arguments = [word.strip(' "') for word in words.split(",")]
    assert command == "flowstate"
    tls = CHECKOUT / "tests/support/tls"
    certificate = str(tls / "localhost.cert.pem")
    pair = ("--tls-cert", certificate, "--tls-key", str(tls / "localhost.key.pem"))
    with started("serve", "examples.chat:flowstate", "--listen", "127.0.0.1:0", *pair) as process:
        address = str(told(process, "listening")["address"]).replace("127.0.0.1", "localhost")
        here = {"localhost:7437": address, "/etc/flowstate/ca.pem": certificate}
        assert flowstate(*(here.get(word, word) for word in arguments)).code == 0
