"""gRPC reflection, for tools such as grpcurl: which services there are, and the files that declare them.

Under both of its names: newer tools ask ``grpc.reflection.v1`` first, whose messages have the form of those of
``v1alpha``. The library's own servicer speaks v1alpha alone, and finds no method, field or enum value by its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import partial
from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2 as pb

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(services: Iterable[str], server: aio.Server) -> None:
    """Serve reflection of ``services`` and of itself."""
    reflection = Reflection((*services, V1, V1ALPHA))
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.answers,
        request_deserializer=pb.ServerReflectionRequest.FromString,
        response_serializer=pb.ServerReflectionResponse.SerializeToString,
    )
    for name in (V1, V1ALPHA):
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((handlers,))


class Reflection:
    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)
        # v1 has a pool of its own: another library of the process may bring the real file.
        self._pools: tuple[Any, ...] = (descriptor_pool.Default(), _v1_pool())

    async def answers(
        self, requests: AsyncIterable[pb.ServerReflectionRequest], context: object
    ) -> AsyncIterator[pb.ServerReflectionResponse]:
        async for request in requests:
            response = self._answer(request)
            response.original_request.CopyFrom(request)
            yield response

    def _answer(self, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        match request.WhichOneof("message_request"):
            case "list_services":
                listed = [pb.ServiceResponse(name=name) for name in self._services]
                return pb.ServerReflectionResponse(
                    list_services_response=pb.ListServiceResponse(service=listed)
                )
            case "file_by_filename":
                found = self._first(lambda pool: pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                found = self._first(partial(_file_of, name=request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                found = self._first(
                    lambda pool: (
                        pool.FindExtensionByNumber(
                            pool.FindMessageTypeByName(wanted.containing_type), wanted.extension_number
                        ).file
                    )
                )
            case "all_extension_numbers_of_type":
                return self._extensions(request.all_extension_numbers_of_type)
            case _:
                return _refused(grpc.StatusCode.INVALID_ARGUMENT, "the request asks for nothing")
        if found is None:
            return _refused(grpc.StatusCode.NOT_FOUND, "not found")
        files = [file.serialized_pb for file in _with_dependencies(found, {}).values()]
        described = pb.FileDescriptorResponse(file_descriptor_proto=files)
        return pb.ServerReflectionResponse(file_descriptor_response=described)

    def _extensions(self, name: str) -> pb.ServerReflectionResponse:
        numbers = self._first(
            lambda pool: sorted(
                extension.number for extension in pool.FindAllExtensions(pool.FindMessageTypeByName(name))
            )
        )
        if numbers is None:
            return _refused(grpc.StatusCode.NOT_FOUND, "not found")
        answer = pb.ExtensionNumberResponse(base_type_name=name, extension_number=numbers)
        return pb.ServerReflectionResponse(all_extension_numbers_response=answer)

    def _first(self, find: Any) -> Any:
        for pool in self._pools:
            try:
                return find(pool)
            except KeyError:
                continue
        return None


def _file_of(pool: Any, name: str) -> Any:
    """The file that declares the symbol; of a member, that of what has it."""
    try:
        return pool.FindFileContainingSymbol(name)
    except KeyError:
        parent, _, member = name.rpartition(".")
        for find, tables in _PARENTS:
            try:
                found = getattr(pool, find)(parent)
            except KeyError:
                continue
            if any(member in getattr(found, table) for table in tables):
                return found.file
        raise


_PARENTS = (
    ("FindServiceByName", ("methods_by_name",)),
    ("FindMessageTypeByName", ("fields_by_name", "oneofs_by_name", "enum_values_by_name")),
    ("FindEnumTypeByName", ("values_by_name",)),
)


def _with_dependencies(file: Any, found: dict[str, Any]) -> dict[str, Any]:
    """``file`` first, then all that it imports, each once."""
    if file.name not in found:
        found[file.name] = file
        for imported in file.dependencies:
            _with_dependencies(imported, found)
    return found


def _v1_pool() -> Any:
    alpha = FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(text, FileDescriptorProto()))
    return pool


def _refused(code: grpc.StatusCode, why: str) -> pb.ServerReflectionResponse:
    number: int = code.value[0]
    return pb.ServerReflectionResponse(error_response=pb.ErrorResponse(error_code=number, error_message=why))
