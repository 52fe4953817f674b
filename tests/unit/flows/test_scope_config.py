from __future__ import annotations

import warnings
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import ClientView, Org, Request, ScopeKind, Session, User, scope_config as module


class State(BaseModel):
    mode: str = "chat"


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_warned", set())


def test_shows_nothing_unless_told() -> None:
    for config in (Session(), User(), Org(), Request(), Session(state=State)):
        assert not config.client_view
    assert [config.kind for config in (Session, User, Org, Request)] == [
        ScopeKind.SESSION,
        ScopeKind.USER,
        ScopeKind.ORG,
        ScopeKind.REQUEST,
    ]


def test_has_a_model_and_a_view() -> None:
    view = ClientView(expose=["mode"])
    config = User(state=State, client=view)
    assert config.state is State
    assert config.client_view is view


def test_the_old_form_is_taken_as_derived_with_one_warning_a_scope() -> None:
    with pytest.warns(DeprecationWarning, match="client_data of the session scope is deprecated") as caught:
        config = Session(client_data={"label": lambda view: view.state.mode})
    assert caught[0].filename == __file__
    assert list(config.client_view.derived) == ["label"]
    assert config.client_view.expose == ()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Session(client_data={"label": repr})
    with pytest.warns(DeprecationWarning, match="client_data of the user scope is deprecated"):
        User(client_data={"label": repr})


def test_refuses_both_forms() -> None:
    with pytest.raises(FlowDefinitionError, match="Org takes client or client_data, not both"):
        Org(client=ClientView(), client_data={})


def test_refuses_other_things() -> None:
    with pytest.raises(FlowDefinitionError, match=r"Session\(state=...\) takes a pydantic model class, not"):
        Session(state=cast(Any, State()))
    with pytest.raises(FlowDefinitionError, match=r"Request\(state=...\) takes a pydantic model class, not"):
        Request(state=cast(Any, dict))
    with pytest.raises(FlowDefinitionError, match=r"User\(client=...\) takes a ClientView, not"):
        User(client=cast(Any, {"mode": len}))
