from __future__ import annotations

import pytest

from flowstate_server.errors import AccessDeniedError
from flowstate_server.model.identity import Plane
from flowstate_server.rpc.planes import METHOD_PLANES, WITHOUT_IDENTITY, check_plane
from flowstate_server.rpc.services import methods

TRUSTED_SERVICES = ("StateService", "JournalService")
TRUSTED_METHODS = (
    "ResourceService/PutResource",
    "ResourceService/WriteContent",
    "ResourceService/DeleteResource",
)


def test_every_method_of_the_contract_is_in_the_table_and_nothing_else() -> None:
    ours = {name for name in METHOD_PLANES if not name.startswith("grpc.")}
    assert ours == {name for name, _ in methods()}


def test_only_health_goes_without_identity() -> None:
    assert {name.split("/")[0] for name in WITHOUT_IDENTITY} == {"grpc.health.v1.Health"}
    assert not WITHOUT_IDENTITY & set(METHOD_PLANES)


@pytest.mark.parametrize("name", [name for name, _ in methods()])
def test_the_trusted_plane_is_needed_where_the_contract_says_so(name: str) -> None:
    trusted = name.split("/", maxsplit=1)[0] in TRUSTED_SERVICES or name in TRUSTED_METHODS
    assert METHOD_PLANES[name] is (Plane.TRUSTED if trusted else Plane.CLIENT)
    check_plane(name, Plane.TRUSTED)
    if trusted:
        with pytest.raises(AccessDeniedError):
            check_plane(name, Plane.CLIENT)
    else:
        check_plane(name, Plane.CLIENT)


def test_a_method_that_nobody_thought_of_is_refused() -> None:
    with pytest.raises(AccessDeniedError):
        check_plane("FlowService/New", Plane.TRUSTED)
