"""What a trusted service may do with records: private ones, parts, tests, incarnations, and looking without writing."""

from __future__ import annotations

import pytest

from flowstate_client import (
    ApiError,
    FlowNotFound,
    FlowStateClient,
    IdempotencyKeyReused,
    PreconditionError,
    RequestStatus,
    SchemaViolation,
    ValidationFailed,
    VersionMismatch,
)
from tests.support.flows import written_fields


async def test_a_private_record_is_named_whether_or_not_its_flow_isolates(backend: FlowStateClient) -> None:
    state = backend.state
    await state.user("ada").patch_state(count=1)
    await state.user("ada", flow_kind="ledger", isolated=True).patch_state(count=2)
    await state.user("ada", flow_kind="private").patch_state(count=3)
    counts = {
        (kind, isolated): (await state.user("ada", flow_kind=kind, isolated=isolated).get()).state["count"]
        for kind in ("ledger", "other", "private")
        for isolated in (False, True)
    }
    assert counts == {
        ("ledger", False): 1,
        ("ledger", True): 2,
        ("other", False): 1,
        ("other", True): 0,
        ("private", False): 3,
        ("private", True): 3,
    }
    async with state.batch() as batch:
        batch.user("ada").inc_state(count=10)
        batch.user("ada", flow_kind="ledger", isolated=True).inc_state(count=10)
        batch.org("acme", flow_kind="private", isolated=True).patch_state(motto="mine")
    assert (await state.user("ada", flow_kind="ledger", isolated=True).get()).state["count"] == 12
    assert not (await state.org("acme").get()).exists
    with pytest.raises(ValidationFailed):
        await state.user("ada", isolated=True).get()
    with pytest.raises(FlowNotFound):
        await state.user("ada", flow_kind="nobody", isolated=True).get()


async def test_the_same_record_by_two_names_is_named_twice(backend: FlowStateClient) -> None:
    batch = backend.state.batch()
    batch.user("ada", flow_kind="private").inc_state(count=1)
    batch.user("ada", flow_kind="private", isolated=True).inc_state(count=1)
    with pytest.raises(ValidationFailed):
        await batch.__aexit__(None, None, None)


async def test_parts_of_a_record(backend: FlowStateClient) -> None:
    user = backend.state.user("ada")
    await user.patch_state(names=["a", "b"], by_key={"x/y": 1, "z": 2})
    read = await user.get(paths=["/by_key/x~1y", "/by_key/nothing", "/count", "/names/0", "/unknown"])
    assert read.state == {"by_key": {"x/y": 1}, "count": 0}
    assert read.version == 1
    assert (await user.get(paths=["/names", "/by_key", "/by_key/z"])).state == {
        "names": ["a", "b"],
        "by_key": {"x/y": 1, "z": 2},
    }
    assert (await user.get(paths=["", "/count"])).state == (await user.get()).state
    with pytest.raises(ApiError) as refusal:
        await user.get(paths=["/count", "/a~2"])
    assert (refusal.value.reason, refusal.value.metadata["path"]) == ("PATH_INVALID", "paths[1]")
    with pytest.raises(ValueError, match="at most 100"):
        await user.get(paths=["/count"] * 101)


async def test_a_batch_goes_on_only_if_its_tests_hold(backend: FlowStateClient) -> None:
    user, org = backend.state.user("ada"), backend.state.org("acme")
    await user.patch_state(names=["a"], by_key={"x": 1})

    async with backend.state.batch() as batch:
        batch.user("ada").test_state("by_key", "x", equals=1).test_state("f0", exists=False)
        batch.user("ada").set_state_record("by_key", "x", 2)
        batch.user("ada").test_state("by_key", "x", equals=2)
        batch.user("ada").test_state("count", equals=0).test_state("count", exists=False)
        batch.org("acme").patch_state(motto="on")
    assert (await user.get()).state["by_key"] == {"x": 2}
    assert (await org.get()).version == 1

    for path, equals in ((("by_key", "x"), 1), (("names",), ["b"]), (("count",), 0.0), (("f1",), 1)):
        refused = backend.state.batch()
        refused.org("acme").patch_state(motto="off")
        refused.user("ada").patch_state(total=9)
        refused.user("ada").test_state(*path, equals=equals)
        with pytest.raises(PreconditionError) as refusal:
            await refused.__aexit__(None, None, None)
        assert refusal.value.reason == "STATE_TEST_FAILED"
        assert refusal.value.metadata["path"] == "/" + "/".join(path)
        assert refusal.value.mutation is not None
        assert refusal.value.mutation.index == 1
    assert (await org.get()).state["motto"] == "on"
    assert written_fields((await user.get()).state) == {"names": ["a"], "by_key": {"x": 2}}

    async with user.batch() as alone:
        alone.test_state("count", equals=0)
    assert alone.result is not None
    assert (alone.result.version, alone.result.changed) == (2, False)


async def test_conditions_name_the_record_that_was_seen(backend: FlowStateClient) -> None:
    user = backend.state.user("ada")
    first = await user.inc_state(count=1)
    seen = await user.get()
    assert first.incarnation == seen.incarnation != ""
    await user.at(seen).inc_state(count=1)
    await user.delete()
    late = (await user.if_exists(False).patch_state(count=7)).version
    assert late == 3
    with pytest.raises(VersionMismatch):
        await user.at(seen).inc_state(count=1)
    made = await user.get()
    assert made.incarnation != seen.incarnation
    await user.at(made).inc_state(count=1)
    await user.delete()
    gone = await user.get()
    assert (gone.exists, gone.version) == (False, 4)
    with pytest.raises(VersionMismatch):  # a tombstone has the version, and is not what was seen
        await user.at(StateSeen(4, made.incarnation)).inc_state(count=1)
    assert (await user.at(gone).inc_state(count=1)).version == 5


class StateSeen:
    def __init__(self, version: int, incarnation: str) -> None:
        self.version = version
        self.incarnation = incarnation


async def test_what_is_only_validated_is_not_written(backend: FlowStateClient) -> None:
    session = await backend.sessions.create("ledger", user_id="ada")
    user = backend.state.user("ada")
    async with backend.state.batch(idempotency_key="k", validate_only=True) as batch:
        batch.session(session.id).inc_state(count=2)
        batch.user("ada").inc_state(count=1)
    result = batch.user("ada").result
    assert result is not None
    assert (result.version, result.changed, result.incarnation) == (1, True, "")
    assert not (await user.get()).exists
    assert (await backend.state.session(session.id).get()).version == 0

    with pytest.raises(SchemaViolation) as refusal:
        async with user.batch(validate_only=True) as wrong:
            wrong.patch_state(count="many")
    assert refusal.value.mutation is not None
    with pytest.raises(VersionMismatch):
        async with user.at(3).batch(validate_only=True) as late:
            late.inc_state(count=1)

    async with backend.state.batch(idempotency_key="k") as batch:  # the key was not used up
        batch.session(session.id).inc_state(count=2)
        batch.user("ada").inc_state(count=1)
    async with backend.state.batch(idempotency_key="k", validate_only=True) as again:
        again.session(session.id).inc_state(count=2)
        again.user("ada").inc_state(count=1)
    assert (await user.get()).state["count"] == 1
    with pytest.raises(IdempotencyKeyReused):
        async with backend.state.batch(idempotency_key="k", validate_only=True) as other:
            other.user("ada").inc_state(count=5)


async def test_a_call_that_is_only_validated_leaves_no_trace(backend: FlowStateClient) -> None:
    flows = backend.flows
    told = await flows.validate("ledger", "bump", {"by": 2}, session_id="s", user_id="ada", request_id="r")
    assert (told.request_id, told.session_id, told.user_id) == ("r", "s", "ada")
    assert (told.status, told.version, told.input) == (RequestStatus.IN_PROGRESS, 0, {"by": 2})
    unnamed = await flows.validate("ledger", "bump", user_id="ada")
    assert (unnamed.request_id, unnamed.session_id) == ("", "")
    assert [one async for one in backend.sessions.list(include_ephemeral=True)] == []
    with pytest.raises(ValidationFailed):
        await flows.validate("ledger", "bump", {"by": "two"}, user_id="ada")
    assert await flows.call("ledger", "bump", {"by": 2}, session_id="s", user_id="ada", request_id="r") == 1
    known = await flows.validate("ledger", "bump", {"by": 2}, session_id="s", user_id="ada", request_id="r")
    assert (known.status, known.output) == (RequestStatus.COMPLETED, 1)
    assert (await backend.state.session("s").get()).state["count"] == 2
