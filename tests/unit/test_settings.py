from __future__ import annotations

import ast
from pathlib import Path

import pytest

from flowstate_server import settings as settings_module
from flowstate_server.model.clock import Seconds
from flowstate_server.settings import SETTINGS, Settings, SettingsError


def test_the_defaults_are_safe() -> None:
    settings = Settings.load({})
    assert settings == Settings()
    assert settings.listen.startswith("127.0.0.1:")
    assert not settings.insecure
    assert not settings.reflection


def test_every_setting_is_an_environment_variable() -> None:
    settings = Settings.load(
        {
            "FLOWSTATE_LISTEN": "0.0.0.0:1",
            "FLOWSTATE_INSECURE": "true",
            "FLOWSTATE_LEASE": "7.5",
            "FLOWSTATE_MAX_OPS": "3",
            "FLOWSTATE_TLS_CERT": "/c.pem",
            "FLOWSTATE_TLS_KEY": "/k.pem",
            "FLOWSTATE_SOMETHING_ELSE": "ignored",
            "FLOWSTATE_STORE": "",
        }
    )
    assert settings.listen == "0.0.0.0:1"
    assert settings.insecure is True
    assert settings.lease == Seconds(7.5)
    assert settings.max_ops == 3
    assert settings.tls_cert == Path("/c.pem")
    assert settings.store is None


def test_what_is_given_wins_over_the_environment() -> None:
    environment = {"FLOWSTATE_LISTEN": "a:1", "FLOWSTATE_LEASE": "7"}
    settings = Settings.load(environment, listen="b:2", lease=None)
    assert settings.listen == "b:2"
    assert settings.lease == Seconds(7)
    assert Settings.load(environment, lease="8").lease == Seconds(8)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLOWSTATE_LEASE", "soon"),
        ("FLOWSTATE_LEASE", "0"),
        ("FLOWSTATE_LEASE", "inf"),
        ("FLOWSTATE_HEARTBEAT", "99"),
        ("FLOWSTATE_MAX_OPS", "1.5"),
        ("FLOWSTATE_INSECURE", "perhaps"),
        ("FLOWSTATE_DRAIN_DELAY", "-1"),
        ("FLOWSTATE_TENANT_KEY", "X-Tenant"),
    ],
)
def test_a_bad_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load({variable: value})
    assert str(refusal.value).startswith(f"{variable}: ")


def test_what_belongs_together() -> None:
    with pytest.raises(SettingsError, match="tls_cert and tls_key"):
        Settings.load({"FLOWSTATE_TLS_CERT": "/c.pem"})
    with pytest.raises(SettingsError, match="default_page_size"):
        Settings.load({}, default_page_size=10, max_page_size=5)


def test_every_setting_is_documented() -> None:
    assert not [name for name, setting in SETTINGS.items() if not setting.text.endswith(".")]


def test_a_wrong_value_is_not_told() -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(
            {"FLOWSTATE_LEASE": "hidden", "FLOWSTATE_TENANT_KEY": "HIDDEN", "FLOWSTATE_MAX_OPS": "hidden"}
        )
    assert "hidden" not in str(refusal.value).lower()
    assert len(str(refusal.value).split("; ")) == 3


def test_the_key_of_page_tokens_is_not_shown() -> None:
    assert "hidden" not in repr(Settings.load({"FLOWSTATE_PAGE_TOKEN_KEY": "hidden"}))


def test_what_is_given_is_a_setting_within_its_bounds() -> None:
    with pytest.raises(SettingsError, match="lease: must be"):
        Settings.load({"FLOWSTATE_LEASE": "3"}, lease=-1.0)
    with pytest.raises(SettingsError, match="flush_after: is no setting"):
        Settings.load({}, flush_after=1.0)


@pytest.mark.parametrize(
    ("text", "value"), [("TRUE", True), ("1", True), ("on", True), ("false", False), ("0", False)]
)
def test_a_switch(text: str, value: bool) -> None:
    assert Settings.load({"FLOWSTATE_INSECURE": text}).insecure is value


def test_every_default_is_within_its_bounds() -> None:
    defaults = Settings()
    for name, setting in SETTINGS.items():
        value = getattr(defaults, name)
        assert value is None or setting.fault(value) is None, name


def test_every_setting_is_gone_by() -> None:
    """Somebody reads each: what is only declared would be taken and ignored."""
    package = Path(settings_module.__file__).parent
    declaring = {package / "settings.py", package / "setting.py", package / "engine" / "settings.py"}
    read = {
        node.attr
        for path in package.rglob("*.py")
        if path not in declaring
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert [name for name in SETTINGS if name not in read] == []
