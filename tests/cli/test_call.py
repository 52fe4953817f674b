from __future__ import annotations

import json
import re
import shlex
import signal

import pytest

from flowstate_client import FlowStateClient, RequestNotFound, RequestStatus, RunHandle
from flowstate_server.testing.waiting import until
from tests.cli.flowstate_command import flowstate, started


def test_it_prints_the_output_as_one_line_of_json(chat_server: str) -> None:
    done = flowstate("call", "chat", "say", '{"message": "hello"}', FLOWSTATE_SERVER=chat_server)
    assert done.code == 0
    assert json.loads(done.stdout).startswith("Hello!")
    assert len(done.stdout.splitlines()) == 1


def test_it_tells_the_request_on_stderr_in_a_line_of_json(chat_server: str) -> None:
    done = flowstate(
        "call", "chat", "say", '{"message": "hello"}', "--server", chat_server, "--session", "told"
    )
    event = json.loads(done.stderr)
    assert (event["event"], event["session_id"]) == ("dispatched", "told")
    tail = flowstate("tail", event["request_id"], "--server", chat_server)
    assert tail.code == 0
    assert json.loads(tail.stdout.splitlines()[-1])["output"] == json.loads(done.stdout)


def test_the_input_may_come_from_stdin_and_a_session_goes_on(chat_server: str) -> None:
    def say(message: str) -> str:
        return flowstate(
            *("call", "chat", "say", "-", "--server", chat_server, "--session", "stdin", "--user", "ada"),
            input=json.dumps({"message": message}),
        ).stdout

    say("Please plan a walk")
    assert "the walk" in say("Where were we?")


def test_a_session_of_somebody_else_is_not_told_from_none(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hi"}', "--server", chat_server, "--session", "adas")
    assert flowstate(*say, "--user", "ada").code == 0
    done = flowstate(*say, "--user", "bob")
    assert done.code == 4
    assert "perhaps another user's (you call as bob; see --user); if it was deleted" in done.stderr
    assert flowstate("sessions", "delete", "adas", "--user", "ada", "--server", chat_server).code == 0
    gone = flowstate(*say, "--user", "ada")
    of_bob = _without_id(done.stderr).replace("bob", "ada")
    assert (gone.code, _without_id(gone.stderr)) == (4, of_bob), "nobody learns which it was"
    hint = re.search(r"if it was deleted, flowstate (.*) makes it anew", gone.stderr)
    assert hint is not None
    assert flowstate(*shlex.split(hint[1]), "--server", chat_server).code == 0
    assert flowstate(*say, "--user", "ada").code == 0


def _without_id(told: str) -> str:
    return re.sub(r"correlation id \S+\)", "", told)


def test_the_same_request_id_runs_once(slow_server: str) -> None:
    command = ("call", "slow", "nap", "0.01", "--server", slow_server, "--request-id", "nap-1")
    assert flowstate(*command).stdout == flowstate(*command).stdout == '"rested"\n'
    tail = flowstate("tail", "nap-1", "--server", slow_server).stdout
    assert tail.count("request.created") == 1


def test_a_mistyped_name_gets_the_nearest(chat_server: str) -> None:
    for flow, name, said in (("chta", "say", "chat"), ("chat", "sya", "say")):
        done = flowstate("call", flow, name, "{}", "--server", chat_server)
        assert done.code == 4
        assert f'did you mean "{said}"?' in done.stderr


def test_what_the_flow_says_of_its_failure_goes_to_stderr(slow_server: str) -> None:
    done = flowstate("call", "slow", "refuse", '"too early"', "--server", slow_server)
    assert done.code == 1
    assert done.stdout == ""
    assert "UNWILLING: too early" in done.stderr


def test_an_action_that_is_not_there_names_where_those_of_the_flow_are(slow_server: str) -> None:
    done = flowstate("call", "slow", "sleep", "1", "--server", slow_server)
    assert done.code == 4
    assert "; see flowstate flows slow (" in done.stderr


def test_where_the_cause_of_an_internal_failure_is_found(slow_server: str) -> None:
    done = flowstate("call", "slow", "break", '"it"', "--server", slow_server)
    assert done.code == 1
    assert re.search(
        r"error id err_\w+\).*; the server's log has why, under this error id$", done.stderr.strip()
    )
    assert "log has why" not in flowstate("call", "slow", "refuse", '"no"', "--server", slow_server).stderr


def test_what_the_server_refuses_goes_to_stderr(chat_server: str) -> None:
    done = flowstate("call", "chat", "say", '{"message": 5}', "--server", chat_server)
    assert done.code == 2
    assert done.stderr.startswith(
        "flowstate: input/message: Input should be a valid string (VALIDATION_FAILED, "
    )


def test_a_token_that_names_nobody_asks_for_a_user(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--server", chat_server, "--token", "unknown")
    done = flowstate(*say)
    assert done.code == 2
    assert "give --user: the token stands for no user, or the server asks for no tokens" in done.stderr
    assert "connect(" not in done.stderr
    assert flowstate(*say, "--user", "ada").code == 0


async def test_why_a_run_was_cancelled_is_told(slow_server: str) -> None:
    with started("call", "slow", "nap", "60.0", "--server", slow_server, "--request-id", "c1") as process:
        async with FlowStateClient.connect(slow_server) as client:
            await (await _known(client, "c1")).cancel("changed my mind")
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ABORTED: changed my mind" in stderr


def test_waiting_ends_after_the_timeout(slow_server: str) -> None:
    done = flowstate("call", "slow", "nap", "60.0", "--server", slow_server, "--timeout", "0.3")
    assert done.code == 5
    assert "it goes on" in done.stderr


def test_w2_no_time_at_all_dispatches_and_tells_the_id(slow_server: str) -> None:
    done = flowstate("call", "slow", "nap", "0.1", "--server", slow_server, "--timeout", "0", "--user", "ada")
    assert (done.code, done.stdout) == (0, "")
    event = json.loads(done.stderr)
    assert event["event"] == "dispatched"
    tail = flowstate("tail", event["request_id"], "--server", slow_server, "--user", "ada")
    assert json.loads(tail.stdout.splitlines()[-1])["output"] == "rested"


def test_bad_json_is_a_misuse() -> None:
    done = flowstate("call", "chat", "say", '{"message":', "--server", "127.0.0.1:1")
    assert done.code == 2
    assert "not JSON" in done.stderr


@pytest.mark.parametrize(
    ("typed", "how"),
    [
        ("Ahoy", """a text is written '"Ahoy"'"""),
        ("text=x", """an object is written '{"text": "…"}', and - reads it from stdin"""),
        ('{text: "x"}', """an object is written '{"text": "…"}'"""),
        ("{'text': 'x'}", """an object is written '{"text": "…"}'"""),
        ("@file.json", "- reads it from stdin"),
    ],
)
def test_how_json_is_written(typed: str, how: str) -> None:
    done = flowstate("call", "chat", "say", typed, "--server", "127.0.0.1:1")
    assert done.code == 2
    assert how in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_ctrl_c_leaves_the_run_alone(slow_server: str) -> None:
    command = ("call", "slow", "nap", "60.0", "--server", slow_server, "--request-id", "left-alone")
    with started(*command) as process:
        async with FlowStateClient.connect(slow_server) as client:
            run = await _known(client, "left-alone")
            assert process.stderr is not None
            assert json.loads(process.stderr.readline())["request_id"] == "left-alone"
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == ""
            assert process.wait(10) == 130
            assert (await run.get()).status is RequestStatus.IN_PROGRESS


async def _known(client: FlowStateClient, request_id: str) -> RunHandle:
    """The run, as soon as the server knows it."""
    run = client.flows.handle(request_id)

    async def known() -> bool:
        try:
            await run.get()
        except RequestNotFound:
            return False
        return True

    await until(known)
    return run


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "not JSON"),
        ("hello", """a text is written '"hello"'"""),
    ],
    ids=["deep", "long", "text"],
)
def test_an_input_that_cannot_be_read_is_misuse(given: str, told: str) -> None:
    done = flowstate("call", "chat", "say", "-", input=given)
    assert (done.code, done.stdout) == (2, "")
    assert told in done.stderr
