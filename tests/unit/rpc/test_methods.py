from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowstate_server.errors import AccessDeniedError, FeatureDisabledError
from flowstate_server.model.identity import Plane
from flowstate_server.rpc import methods
from flowstate_server.rpc.event_servicer import EventServicer
from flowstate_server.rpc.flow_servicer import FlowServicer
from flowstate_server.rpc.journal_servicer import JournalServicer
from flowstate_server.rpc.methods import check_method, is_probe, short_name, starts_run, waits
from flowstate_server.rpc.resource_servicer import ResourceServicer
from flowstate_server.rpc.server_servicer import ServerServicer
from flowstate_server.rpc.session_servicer import SessionServicer
from flowstate_server.rpc.state_servicer import StateServicer
from tests.support.contract import METHODS, SERVICES, UNSERVED_METHODS

PROTOS = Path(__file__).parents[3] / "protos/flowstate/v1"
SERVICERS = (
    FlowServicer,
    EventServicer,
    SessionServicer,
    StateServicer,
    ResourceServicer,
    JournalServicer,
    ServerServicer,
)
TRUSTED_SERVICES = ("StateService", "JournalService")
TRUSTED_METHODS = (
    "SessionService/AppendItems",
    "SessionService/RemoveItems",
    "ResourceService/PutResource",
    "ResourceService/WriteContent",
    "ResourceService/DeleteResource",
)


def test_every_method_of_the_contract_is_in_the_table_and_nothing_else() -> None:
    assert set(methods.OWN_METHODS) == set(METHODS)
    assert {name for name in methods.METHODS if name.startswith("grpc.")} == {
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }


def test_only_health_goes_without_identity() -> None:
    assert {name.split("/")[0] for name in methods.METHODS if is_probe(name)} == {"grpc.health.v1.Health"}
    assert not is_probe("FlowService/New")


def test_what_takes_an_action_to_run_starts_a_run() -> None:
    taking = {name for name, method in METHODS.items() if "spec" in method.input_type.fields_by_name}
    assert {name for name in (*methods.METHODS, "FlowService/New") if starts_run(name)} == taking
    assert len(taking) == 3


def test_what_waits_is_known_as_such() -> None:
    assert {name for name in (*METHODS, "FlowService/New") if waits(name)} == {
        "FlowService/CallAction",
        "FlowService/StreamAction",
        "FlowService/WaitActionRequest",
        "EventService/TailEvents",
        "SessionService/WatchSnapshot",
    }


@pytest.mark.parametrize("name", METHODS)
def test_the_trusted_plane_is_needed_where_the_contract_says_so(name: str) -> None:
    trusted = name.split("/", maxsplit=1)[0] in TRUSTED_SERVICES or name in TRUSTED_METHODS
    assert methods.METHODS[name].plane is (Plane.TRUSTED if trusted else Plane.CLIENT)
    if trusted:
        with pytest.raises(AccessDeniedError):
            check_method(name, Plane.CLIENT)
    for plane in (Plane.TRUSTED,) if trusted else Plane:
        if name in UNSERVED_METHODS:
            with pytest.raises(FeatureDisabledError):
                check_method(name, plane)
        else:
            check_method(name, plane)


def test_a_method_that_nobody_thought_of_is_refused() -> None:
    with pytest.raises(AccessDeniedError):
        check_method("FlowService/New", Plane.TRUSTED)


def test_what_is_served_has_code_and_what_is_not_has_none() -> None:
    coded = {
        f"{kind.__name__.replace('Servicer', 'Service')}/{name}"
        for kind in SERVICERS
        for name in vars(kind)
        if name[0].isupper()
    }
    assert coded == set(METHODS) - UNSERVED_METHODS


def test_a_service_is_reported_as_soon_as_one_of_its_methods_is_served() -> None:
    assert set(methods.SERVED_SERVICES) == {
        service.full_name
        for name, service in SERVICES.items()
        if any(f"{name}/{method.name}" not in UNSERVED_METHODS for method in service.methods)
    }
    assert {short_name(service) for service in methods.SERVED_SERVICES} <= set(SERVICES)


def test_the_contract_puts_off_what_is_not_served() -> None:
    put_off = set()
    for file in PROTOS.glob("*_service.proto"):
        service = ""
        comment = ""
        whole = False
        for line in file.read_text().splitlines():
            if line.strip().startswith("//"):
                comment += line
                continue
            if found := re.match(r"service (\w+)", line):
                service, whole = found[1], "Served by a later release" in comment
            if (found := re.match(r"  rpc (\w+)", line)) and (
                whole or "Served by a later release" in comment
            ):
                put_off.add(f"{service}/{found[1]}")
            comment = ""
    assert put_off == UNSERVED_METHODS
