from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flowstate_server.app import engine_settings
from flowstate_server.cli.server_settings import server_options
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.settings import Settings

TAKEN_BY_THE_COMMAND = {"store", "profile", "drain_delay", "drain_grace"}


def test_every_setting_reaches_what_it_is_for() -> None:
    settings = Settings()
    for name in Settings.model_fields.keys() - TAKEN_BY_THE_COMMAND:
        changed = settings.model_copy(update={name: f"another {name}"})
        assert f"another {name}" in _values(changed), name


def _values(settings: Settings) -> list[Any]:
    options = asdict(server_options(settings))
    engine = asdict(engine_settings(settings))
    return [
        *options.values(),
        *options["admission"].values(),
        *options["envelope"].values(),
        *engine.values(),
    ]


def test_the_defaults_are_those_of_the_engine() -> None:
    assert engine_settings(Settings()) == EngineSettings()
