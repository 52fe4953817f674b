"""Which store a command works on."""

from __future__ import annotations

from flowstate_server.app import FlowState
from flowstate_server.settings import Settings
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.store import Store


def chosen_store(app: FlowState, settings: Settings) -> Store:
    """The store that the settings name by URL, else the app's own of the profile that they name.

    Raises:
        ValueError: there is no such store or profile.
    """
    if "store" not in settings.model_fields_set:
        return app.store_of(settings.profile)
    return store_from_url(settings.store)
