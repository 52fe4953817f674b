"""What views say when they are assigned to, or asked for what is no field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations


class Part(BaseModel):
    tags: list[str] = []


class State(BaseModel):
    count: int = 0
    share: float | None = None
    title: str = ""
    either: int | str = 0
    tags: list[str] = []
    seen: set[str] = set()
    places: dict[str, int] = {}
    part: Part = Part()


class Named(BaseModel):
    """With attributes that are no fields."""

    count: int = 0
    _secret: int = 7

    @property
    def broken(self) -> int:
        raise AttributeError("mine")

    def __getattr__(self, name: str) -> Any:
        if name == "virtual":
            return self.count + 1
        return super().__getattr__(name)  # type: ignore[misc]


SCHEMA = merge_declarations(ScopeKind.SESSION, [Declaration(State, "State")])
VIEWS: list[Any] = [SCHEMA.view(State, {}), SCHEMA.merged_view({})]
WRITE = r"or write it with ctx\.session\.patch_state\({}=\.\.\.\)$"


@pytest.mark.parametrize("view", VIEWS, ids=["of a model", "merged"])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("count", r"add to it with ctx\.session\.inc_state\(count=\.\.\.\), "),
        ("share", r"add to it with ctx\.session\.inc_state\(share=\.\.\.\), "),
        ("tags", r"append to it with ctx\.session\.push_state\('tags', \.\.\.\), "),
        ("seen", r"append to it with ctx\.session\.push_state\('seen', \.\.\.\), "),
        ("places", r"write an entry with ctx\.session\.set_state_record\('places', key, value\), "),
    ],
)
def test_an_assignment_is_told_the_operation_of_the_fields_type(view: Any, name: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=advice + WRITE.format(name)):
        setattr(view, name, 1)
    with pytest.raises(TypeError, match=advice + WRITE.format(name)):
        view[name] = 1


@pytest.mark.parametrize("view", VIEWS, ids=["of a model", "merged"])
@pytest.mark.parametrize("name", ["title", "either", "part"])
def test_of_other_types_an_assignment_is_a_patch(view: Any, name: str) -> None:
    with pytest.raises(
        AttributeError, match=rf"here '{name}': write it with ctx\.session\.patch_state\({name}="
    ):
        setattr(view, name, 1)


def _assign_in(view: Any) -> None:
    view.places |= {"a": 1}


@pytest.mark.parametrize("change", [_assign_in, lambda view: view.places.update(a=1)])
def test_so_are_several_entries(change: Callable[[Any], object]) -> None:
    with pytest.raises(
        TypeError, match=r"with ctx\.session\.set_state_record\('places', key, value\), or write"
    ):
        change(VIEWS[0])


def test_a_field_is_removed_by_unset_state() -> None:
    with pytest.raises(AttributeError, match=r"ctx\.session\.unset_state\('count'\)"):
        del VIEWS[0].count


def _assign(view: Any) -> None:
    view.cuont = 1


@pytest.mark.parametrize(
    ("view", "owner"), [(VIEWS[0], "State"), (VIEWS[1], "the session state")], ids=["of a model", "merged"]
)
@pytest.mark.parametrize("use", [lambda view: view.cuont, _assign], ids=["read", "assigned"])
def test_a_name_that_is_no_field_gets_the_nearest(view: Any, owner: str, use: Callable[[Any], None]) -> None:
    with pytest.raises(AttributeError, match=rf'{owner} has no field \'cuont\'; did you mean "count"\?$'):
        use(view)
    with pytest.raises(
        AttributeError, match=owner + r""" has no field 'zz'; there are "count", "either", .* and 3 more\.$"""
    ):
        view.zz  # noqa: B018 - reading it is the test
    assert not hasattr(view, "nothing")


def test_so_does_one_inside() -> None:
    with pytest.raises(AttributeError, match=r"^Part has no field 'tagz'; did you mean \"tags\"\?$"):
        VIEWS[0].part.tagz  # noqa: B018 - reading it is the test


def test_what_a_model_answers_itself_is_its_own() -> None:
    state: Any = merge_declarations(ScopeKind.SESSION, [Declaration(Named, "Named")]).view(
        Named, {"count": 2}
    )
    assert (state.virtual, state._secret) == (3, 7)
    with pytest.raises(AttributeError, match=r"^mine$"):
        state.broken  # noqa: B018 - reading it is the test
    with pytest.raises(AttributeError, match="'nothing'"):
        state.nothing  # noqa: B018 - reading it is the test
