"""What can be configured. Each setting is also an environment variable: ``lease`` is ``FLOWSTATE_LEASE``.

Durations are in seconds, sizes in bytes, switches ``true`` or ``false``. An empty variable counts as absent, one that
names no setting is warned about. How settings are declared: :mod:`flowstate_server.setting`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.setting import MIB, Setting, count, file, seconds, settings_of, size, switch, words

PREFIX = "FLOWSTATE_"


class SettingsError(ValueError):
    """A setting has no valid value; names it as it was given, never a secret."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Those of the gRPC server."""

    listen: str = words(
        "127.0.0.1:7437",
        "Where to listen: host:port (port 0: any free one) or unix:path.",
        metavar="HOST:PORT",
    )
    tls_cert: Path | None = file("PEM file with the certificate chain; needs its key.", option=True)
    tls_key: Path | None = file("PEM file with the private key of the certificate.", option=True)
    tokens: Path | None = file(
        "TOML or JSON file of bearer tokens and whom they stand for. Without it callers are who their metadata says.",
        option=True,
    )
    insecure: bool = switch("Allow to listen beyond loopback without TLS or without tokens.", option=True)
    reflection: bool = switch("Serve gRPC reflection.", option=True)
    reuse_port: bool = switch("Let several server processes share the port (Linux).")
    tenant_key: str = words("x-tenant-id", "The metadata key that names the tenant.", pattern=r"[a-z0-9_.-]+")

    max_message_bytes: int = size(
        4 * MIB, "Largest message, either way. Clients receive 4 MiB unless they were told otherwise."
    )
    unary_deadline: float = seconds(30.0, "Deadline of a unary call that brings none.")
    write_timeout: float = seconds(
        30.0, "How long a stream's reader may take for one frame before it is cut off."
    )

    # Far above what one process serves at a time without falling behind: they stop what runs away, and nobody else.
    max_unary_calls: int = count(2_000, "Unary calls that the process serves at once.")
    max_streams: int = count(10_000, "Open streams of the process.")
    max_streams_per_tenant: int = count(5_000, "Open streams of one tenant.")
    max_streams_per_principal: int = count(2_000, "Open streams of one caller.")


@dataclass(frozen=True, kw_only=True)
class Settings(EngineSettings, ServerSettings):
    """All settings of a server process: those of the gRPC server, of the engine, and of ``flowstate serve``."""

    store: str | None = words(
        None,
        "URL of the store: memory, file:///PATH, sqlite:///PATH or postgres://USER@HOST/DATABASE.",
        metavar="URL",
        shown="the app's own, else memory",
    )
    profile: str | None = words(
        None,
        "Which of the app's own store profiles to serve; not together with a store.",
        metavar="NAME",
        shown="default",
    )
    workers: int = count(
        1,
        "How many processes serve on the one port, kept by this one (Linux; SQLite or Postgres).",
        metavar="N",
    )
    drain_delay: float = seconds(
        0.0,
        "On stopping: how long to serve on while health already says NOT_SERVING, so that balancers notice.",
        zero=True,
    )
    drain_grace: float = seconds(
        10.0, "On stopping: how long calls and runs that are under way have to end.", zero=True
    )

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from ``given`` (``None`` counts as not given), else from the environment, else the defaults.

        Raises:
            SettingsError: naming the variable or setting that is wrong, and how.
        """
        variables = os.environ if environment is None else environment
        values = {name: value for name, value in given.items() if value is not None}
        problems = [f"{name}: is no setting" for name in values if name not in SETTINGS]
        for name, setting in SETTINGS.items():
            place, variable = name, PREFIX + name.upper()
            try:
                if name not in values and variables.get(variable):
                    place = variable
                    values[name] = variables[variable]
                if isinstance(values.get(name), str):
                    values[name] = setting.read(values[name])
                fault = setting.fault(values[name]) if name in values else None
            except ValueError as error:
                fault = str(error)
            if fault:
                problems.append(f"{place}: {fault}")
        if problems:
            raise SettingsError("; ".join(problems))
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("tls_cert and tls_key go together")
        if self.default_page_size > self.max_page_size:
            raise SettingsError("default_page_size must not be over max_page_size")


SETTINGS: Mapping[str, Setting] = dict(settings_of(Settings))
"""Every setting by its name."""
