from __future__ import annotations

from tests.cli.flowstate_command import flowstate

SAY = ("call", "chat", "say", '{"message": "hello"}')


def test_it_deletes_a_session(chat_server: str) -> None:
    at = ("--server", chat_server)
    assert flowstate(*SAY, "--session", "gone", "--request-id", "of-gone", *at).code == 0
    done = flowstate("sessions", "delete", "gone", *at)
    assert (done.code, done.stdout) == (0, "")
    assert "REQUEST_NOT_FOUND" in flowstate("tail", "of-gone", *at).stderr
    again = flowstate("sessions", "delete", "gone", *at)
    assert again.code != 0
    assert "SESSION_NOT_FOUND" in again.stderr
    assert flowstate("sessions", "delete", "gone", "--allow-missing", *at).code == 0


def test_it_deletes_what_it_was_told_and_no_other(chat_server: str) -> None:
    at = ("--server", chat_server)
    assert flowstate(*SAY, "--session", "kept", "--user", "ada", *at).code == 0
    for options in (("--at", "7"), ("--user", "eve"), ("--tenant", "other")):
        refused = flowstate("sessions", "delete", "kept", *options, *at)
        assert refused.code != 0
        assert "Traceback" not in refused.stderr
    assert flowstate("sessions", "delete", "kept", "--at", "1", "--user", "ada", *at).code == 0
