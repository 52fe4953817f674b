"""Which store a command works on."""

from __future__ import annotations

from flowstate_server.app import FlowState
from flowstate_server.settings import Settings
from flowstate_server.store_urls import PostgresOptions, store_from_url
from flowstate_server.stores.contract.store import Store


def chosen_store(app: FlowState, settings: Settings) -> Store:
    """The store that the settings name by URL, else the app's own of the profile that they name.

    Raises:
        ValueError: there is no such store or profile.
    """
    if "store" not in settings.model_fields_set:
        return app.store_of(settings.profile)
    return named_store(settings.store, settings)


def named_store(url: str, settings: Settings) -> Store:
    """The store of a URL, with what the settings say of Postgres."""
    return store_from_url(url, postgres_options(settings))


def postgres_options(settings: Settings) -> PostgresOptions:
    return PostgresOptions(
        settings.postgres_pool, settings.postgres_serverless, settings.postgres_listen or None
    )
