"""What can be configured. Each setting is also an environment variable: ``lease`` is ``FLOWSTATE_LEASE``.

Durations are in seconds, sizes in bytes, switches ``true`` or ``false``. An empty variable counts as absent, one that
names no setting is warned about.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PREFIX = "FLOWSTATE_"

_KIB = 1024
_MIB = 1024 * _KIB

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=_KIB)]


class SettingsError(ValueError):
    """A setting has no valid value; names it as it was given, never a secret."""


class Settings(BaseModel):
    """All settings of a server process, with their defaults."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    # --- listening

    listen: Annotated[str, Field(min_length=1)] = "127.0.0.1:7437"
    """Where to listen: ``host:port`` (port 0: any free one) or ``unix:path``."""

    tls_cert: Path | None = None
    """PEM file with the certificate chain; needs ``tls_key``."""

    tls_key: Path | None = None
    """PEM file with the private key of ``tls_cert``."""

    tokens: Path | None = None
    """TOML or JSON file of bearer tokens and whom they stand for. Without it callers are who their metadata says."""

    tenant_key: Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$")] = "x-tenant-id"
    """The metadata key that names the tenant."""

    insecure: bool = False
    """Allow to listen beyond loopback without TLS or without tokens."""

    reflection: bool = False
    """Serve gRPC reflection."""

    reuse_port: bool = False
    """Let several server processes share the port (Linux)."""

    # --- storing

    store: Annotated[str, Field(min_length=1)] = "memory"
    """URL of the store: ``memory``, ``file:///PATH``, ``sqlite:///PATH`` or ``postgres://USER@HOST/DATABASE``."""

    profile: Annotated[str, Field(min_length=1)] = "default"
    """Which of the app's own store profiles to serve, where ``store`` is not given."""

    transient_retention: SecondsOrZero = 600.0
    """How long transient events are kept after their request ended."""

    idempotency_window: Seconds = 24 * 3600.0
    """How long idempotency keys are remembered."""

    # --- running

    lease: Seconds = 15.0
    """How long a silent server process keeps its runs; it renews three times as often."""

    cancel_grace: SecondsOrZero = 5.0
    """How long a cancelled block has to end before it is abandoned."""

    drain_delay: SecondsOrZero = 0.0
    """On stopping: how long to serve on while health already says NOT_SERVING, so that balancers notice."""

    drain_grace: SecondsOrZero = 10.0
    """On stopping: how long calls and runs that are under way have to end."""

    # --- limits of what is sent

    max_message_bytes: Bytes = 4 * _MIB
    """Largest message, either way. Clients receive 4 MiB unless they were told otherwise."""

    max_state_bytes: Bytes = _MIB
    """Largest state document of one scope."""

    max_input_bytes: Bytes = _MIB
    """Largest input of an action."""

    max_output_bytes: Bytes = _MIB
    """Largest output of an action."""

    max_item_bytes: Bytes = _MIB
    """Largest content of an item."""

    max_terminal_output_bytes: Bytes = 64 * _KIB
    """Largest output that is repeated in the event of the request's end."""

    max_ops: Count = 100
    """Most operations in one commit of state."""

    max_scopes: Count = 16
    """Most records in one read or commit of state."""

    default_page_size: Count = 50
    """Entries of a page where a caller asks for no size."""

    max_page_size: Count = 500
    """Most entries of a page; a larger size is brought down to it."""

    page_token_key: Annotated[str, Field(min_length=1, repr=False)] = "flowstate"
    """Secret that page tokens are sealed with; the same on all servers of a fleet."""

    # --- limits of time

    max_wait: Seconds = 50.0
    """Longest that a call waits for the end of a run."""

    unary_deadline: Seconds = 30.0
    """Deadline of a unary call that brings none."""

    heartbeat: Annotated[float, Field(ge=5, le=45)] = 15.0
    """Longest silence on a stream whose caller asks for no interval."""

    write_timeout: Seconds = 30.0
    """How long a stream's reader may take for one frame before it is cut off."""

    # --- limits of what is open at once

    max_unary_calls: Count = 2_000
    """Unary calls that the process serves at once."""

    max_streams: Count = 10_000
    """Open streams of the process."""

    max_streams_per_tenant: Count = 5_000
    """Open streams of one tenant."""

    max_streams_per_principal: Count = 2_000
    """Open streams of one caller."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        if self.default_page_size > self.max_page_size:
            raise ValueError("default_page_size must not be over max_page_size")
        return self

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from ``given`` (``None`` counts as not given), else from the environment, else the defaults.

        Raises:
            SettingsError: naming the variable or setting that is wrong, and how.
        """
        variables = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name in cls.model_fields:
            variable = PREFIX + name.upper()
            names[name] = variable if variables.get(variable) else name
            if variables.get(variable):
                values[name] = variables[variable]
        for name, value in given.items():
            if value is not None:
                values[name] = value
                names[name] = name
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(
                "; ".join(_problem(names, one) for one in error.errors(include_url=False))
            ) from None


def _problem(names: Mapping[str, str], error: Any) -> str:
    place = str(error["loc"][0]) if error["loc"] else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{names.get(place, place)}: {message}" if place else message
