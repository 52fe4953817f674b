from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_server.settings import Settings, SettingsError


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
    assert settings.lease == 7.5
    assert settings.max_ops == 3
    assert settings.tls_cert == Path("/c.pem")
    assert settings.store == "memory"


def test_what_is_given_wins_over_the_environment() -> None:
    environment = {"FLOWSTATE_LISTEN": "a:1", "FLOWSTATE_LEASE": "7"}
    settings = Settings.load(environment, listen="b:2", lease=None)
    assert settings.listen == "b:2"
    assert settings.lease == 7


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
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
