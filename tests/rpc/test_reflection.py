from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2 as pb

from flowstate_server.rpc.methods import SERVED_SERVICES
from flowstate_server.settings import ServerSettings
from tests.support.served import served
from tests.support.wire import read_all

VERSIONS = ("v1", "v1alpha")
OWN = {f"grpc.reflection.{version}.ServerReflection" for version in VERSIONS}
FLOWS = "flowstate/v1/flow_service.proto"


class Asking:
    def __init__(self, channel: aio.Channel, version: str) -> None:
        self._call: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )

    async def __call__(self, **request: Any) -> pb.ServerReflectionResponse:
        asked = pb.ServerReflectionRequest(**request)
        (reply,) = await read_all(self._call(iter([asked])))
        answer: pb.ServerReflectionResponse = reply
        assert answer.original_request == asked
        return answer

    async def files(self, **request: Any) -> list[FileDescriptorProto]:
        answer = await self(**request)
        assert not answer.HasField("error_response"), request
        found = answer.file_descriptor_response.file_descriptor_proto
        return [FileDescriptorProto.FromString(file) for file in found]


@pytest.fixture(params=VERSIONS)
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    async with _asking(request.param) as asking:
        yield asking


@asynccontextmanager
async def _asking(version: str) -> AsyncIterator[Asking]:
    async with served(ServerSettings(reflection=True)) as server:
        yield Asking(server.channel, version)


async def test_w11_both_versions_list_the_services(asking: Asking) -> None:
    listed = (await asking(list_services="")).list_services_response.service
    assert {service.name for service in listed} == {*SERVED_SERVICES, "grpc.health.v1.Health", *OWN}


async def test_w11_every_service_that_is_listed_can_be_described(asking: Asking) -> None:
    for service in (await asking(list_services="")).list_services_response.service:
        files = await asking.files(file_containing_symbol=service.name)
        names = {file.name for file in files}
        assert service.name in {f"{files[0].package}.{one.name}" for one in files[0].service}
        assert all(set(file.dependency) <= names for file in files)


@pytest.mark.parametrize(
    "symbol",
    [
        "flowstate.v1.FlowService",
        "flowstate.v1.FlowService.CallAction",
        "flowstate.v1.ActionSpec",
        "flowstate.v1.ActionSpec.session_id",
        "flowstate.v1.StateOp.op",
        "flowstate.v1.ErrorReason",
        "flowstate.v1.ErrorReason.ERROR_REASON_INTERNAL",
        "flowstate.v1.ERROR_REASON_INTERNAL",
        "grpc.health.v1.Health.Check",
        "grpc.health.v1.HealthCheckResponse.SERVING",
        "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
    ],
)
async def test_w11_what_a_service_has_is_found_by_its_name(asking: Asking, symbol: str) -> None:
    (first, *_) = await asking.files(file_containing_symbol=symbol)
    assert symbol.startswith(first.package)
    assert symbol.rpartition(".")[2].encode() in first.SerializeToString()


@pytest.mark.parametrize(
    "request_",
    [
        {"file_containing_symbol": "flowstate.v1.FlowService.Nope"},
        {"file_containing_symbol": "nope"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "nope.proto"},
        {"all_extension_numbers_of_type": "nope"},
        {"file_containing_extension": pb.ExtensionRequest(containing_type="nope", extension_number=1)},
    ],
)
async def test_what_is_not_there_is_not_found(asking: Asking, request_: dict[str, Any]) -> None:
    answer = await asking(**request_)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_files_and_extensions(asking: Asking) -> None:
    assert (await asking.files(file_by_filename=FLOWS))[0].name == FLOWS
    answer = await asking(all_extension_numbers_of_type="flowstate.v1.ActionSpec")
    assert list(answer.all_extension_numbers_response.extension_number) == []
    assert (await asking()).error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
