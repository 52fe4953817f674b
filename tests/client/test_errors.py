"""From status to exception: every reason has a class, every code has one."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

import flowstate_client
from flowstate.v1 import errors_pb2
from flowstate.v1.server_service_pb2 import Limits
from flowstate_client import (
    ActionFailed,
    ApiError,
    ClientConfig,
    ClientError,
    ConcurrentModificationError,
    ConnectError,
    DeadlineExceeded,
    Failure,
    FeatureUnavailable,
    FieldViolation,
    FlowStateClient,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionError,
    ResourceExhausted,
    ResponseValidationError,
    SchemaViolation,
    SessionNotFound,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
)
from flowstate_client.error_reasons import CODES, REASONS
from flowstate_server.testing.server import running_server
from tests.client.fake_tails import refuse
from tests.client.fakes import FakeServer
from tests.support.flows import make_app


def test_every_reason_of_the_contract_has_a_class() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118 - no dict
    assert names - {"UNSPECIFIED"} == set(REASONS)


def test_every_code_has_a_class_and_every_class_is_public() -> None:
    assert set(grpc.StatusCode) - set(CODES) == {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}
    for cls in {*CODES.values(), *REASONS.values()}:
        assert getattr(flowstate_client, cls.__name__) is cls


async def arrange(server: FakeServer, *refusal: Any, **more: Any) -> None:
    async def before(request: Any, context: Any) -> None:
        await refuse(context, *refusal, **more)

    server.sessions.before = before


async def test_an_error_carries_all_that_the_server_said(server: FakeServer, client: FlowStateClient) -> None:
    fields = {"/message": "must be text"}
    await arrange(
        server,
        grpc.StatusCode.INVALID_ARGUMENT,
        "SCHEMA_VIOLATION",
        "bad state",
        fields=fields,
        scope="session",
    )
    with pytest.raises(SchemaViolation) as caught:
        await client.sessions.get("s")
    error = caught.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "SCHEMA_VIOLATION"
    assert error.domain == "flowstate.dev"
    assert error.metadata == {"scope": "session"}
    assert error.field_violations == (FieldViolation("/message", "", "must be text"),)
    assert error.method == "SessionService/GetSession"
    assert error.correlation_id
    for part in (
        "SessionService/GetSession",
        "SCHEMA_VIOLATION",
        "bad state",
        "/message",
        error.correlation_id,
    ):
        assert part in str(error)
    assert isinstance(error, InvalidArgument)
    assert not isinstance(error, ClientError)


async def test_who_is_missing_can_be_given_where_it_is_said(
    server: FakeServer, client: FlowStateClient
) -> None:
    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED", "no user")
    for field in ("session.user_id", "spec.user_id"):
        await arrange(server, *refusal, fields={field: "must not be empty"}, broken="REQUIRED")
        with pytest.raises(ValidationFailed, match=r"give user_id=, or connect\(user=\.\.\.\)") as caught:
            await client.sessions.create("chat")
        assert caught.value.hint
    await arrange(server, *refusal, fields={"session.user_id": "is too long"}, broken="LENGTH")
    with pytest.raises(ValidationFailed) as other:
        await client.sessions.create("chat")
    assert not other.value.hint


async def test_what_is_for_the_trusted_plane_says_how_to_get_there(
    server: FakeServer, client: FlowStateClient
) -> None:
    await arrange(server, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID", "no valid credentials")
    with pytest.raises(Unauthenticated, match=r"give connect\(token=\.\.\.\)"):
        await client.sessions.create("chat")
    denied = (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    await arrange(server, *denied, "it belongs to another user")
    with pytest.raises(PermissionDenied) as other:
        await client.sessions.create("chat")
    assert not other.value.hint
    async with running_server(make_app()) as real, real.connect() as caller:
        with pytest.raises(PermissionDenied) as refused:
            await caller.state.user("ada").get()
        assert refused.value.hint.startswith('connect(..., plane="trusted")')
        assert "the method needs the trusted plane; connect(" in str(refused.value)
        with pytest.raises(PermissionDenied) as whole:
            await caller.resources.user("ada")["a"].get(view="full")
        assert whole.value.hint == refused.value.hint


@pytest.mark.parametrize(
    ("code", "reason", "domain", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", "flowstate.dev", SessionNotFound),
        (grpc.StatusCode.NOT_FOUND, "PLANET_NOT_FOUND", "flowstate.dev", NotFound),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_NOT_FOUND", "elsewhere.example", ResourceExhausted),
        (grpc.StatusCode.FAILED_PRECONDITION, "", "", PreconditionError),
        (grpc.StatusCode.UNKNOWN, "", "", ApiError),
        (grpc.StatusCode.INTERNAL, "", "", InternalError),
    ],
)
async def test_unknown_reasons_and_bare_codes_go_by_the_code(
    server: FakeServer,
    client: FlowStateClient,
    code: grpc.StatusCode,
    reason: str,
    domain: str,
    expected: type[ApiError],
) -> None:
    await arrange(server, code, reason, domain=domain)
    with pytest.raises(ApiError) as caught:
        await client.sessions.get("s")
    assert type(caught.value) is expected
    assert caught.value.reason == reason


async def test_mangled_details_leave_the_code(server: FakeServer, client: FlowStateClient) -> None:
    async def before(request: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.NOT_FOUND, "gone", (("grpc-status-details-bin", b"\xff\xff\xff"),)
        )

    server.sessions.before = before
    with pytest.raises(NotFound, match="gone"):
        await client.sessions.get("s")


async def test_helpers_of_particular_errors(server: FakeServer, client: FlowStateClient) -> None:
    await arrange(server, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current="8")
    with pytest.raises(VersionMismatch) as mismatch:
        await client.sessions.get("s")
    assert mismatch.value.current_version == 8
    await arrange(server, grpc.StatusCode.INTERNAL, "INTERNAL", error_id="e-1")
    with pytest.raises(InternalError) as internal:
        await client.sessions.get("s")
    assert internal.value.error_id == "e-1"


async def test_nobody_there_is_a_connect_error() -> None:
    config = ClientConfig(timeout=10, connect_timeout=0.3)
    async with FlowStateClient.connect("127.0.0.1:1", config=config) as client:
        with pytest.raises(ConnectError) as caught:
            await client.sessions.get("s")
        assert isinstance(caught.value, Unavailable)
        assert isinstance(caught.value, ClientError)
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1"):
            await client.ready()


async def test_deadlines_are_timeouts(server: FakeServer, client: FlowStateClient) -> None:
    await arrange(server, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_BUDGET_EXHAUSTED")
    with pytest.raises(TimeoutError) as caught:
        await client.sessions.get("s")
    assert type(caught.value) is DeadlineExceeded
    assert "DEADLINE_BUDGET_EXHAUSTED" in str(caught.value)


async def test_a_missing_feature_names_the_server(server: FakeServer, client: FlowStateClient) -> None:
    await arrange(
        server, grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED", feature="ListSessionsRequest.tags"
    )
    for _ in range(2):
        with pytest.raises(FeatureUnavailable) as caught:
            await client.sessions.list(tags=["x"]).first()
        assert caught.value.server_version == "0.9.0"
        assert caught.value.feature == "ListSessionsRequest.tags"
        assert "0.9.0" in str(caught.value)
    assert server.server.calls == 1, "the server is asked once"


async def test_a_missing_method_names_the_server(server: FakeServer, client: FlowStateClient) -> None:
    async def unserved(request: Any, context: Any) -> AsyncIterator[Any]:
        await refuse(context, grpc.StatusCode.UNIMPLEMENTED)
        yield

    server.events.serve = unserved
    with pytest.raises(FeatureUnavailable) as caught:
        await anext(client.flows.handle("req_1").events())
    assert (caught.value.feature, caught.value.server_version) == ("EventService/TailEvents", "0.9.0")


async def test_capabilities(server: FakeServer, client: FlowStateClient) -> None:
    info = await client.server.info()
    assert (info.version, info.limits.max_message_bytes) == ("0.9.0", 4 << 20)
    assert {field.name for field in dataclasses.fields(info.limits)} == set(Limits.DESCRIPTOR.fields_by_name)
    assert await client.server.supports("StateService/CommitState")
    assert not await client.server.supports("SessionService/ListItems")
    assert server.server.calls == 1
    await client.server.info(refresh=True)
    assert server.server.calls == 2


def test_errors_can_be_copied_and_pickled() -> None:
    failure = Failure(reason="NO", message="no")
    errors: list[Exception] = [
        VersionMismatch("m", code=grpc.StatusCode.ABORTED, metadata={"current": "3"}, method="A/B"),
        ConnectError("m", code=grpc.StatusCode.UNAVAILABLE),
        DeadlineExceeded("m", code=grpc.StatusCode.DEADLINE_EXCEEDED, correlation_id="c"),
        ActionFailed(failure, request_id="req_1"),
        ConcurrentModificationError(8),
        ResponseValidationError(b"{}", int, "no"),
        flowstate_client.TimeoutError("late"),
    ]
    for error in errors:
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(other) is type(error)
            assert str(other) == str(error)
            assert vars(other) == vars(error)
