"""What was typed wrongly is told in words that help."""

from __future__ import annotations

import pytest

from tests.cli.flowstate_command import flowstate

TYPED = {
    "state get sesion s1": "'sesion' is not one of 'session', 'user', 'org'; did you mean 'session'?",
    "state get planet s1": "'planet' is not one of 'session', 'user', 'org'",
    "items s1 --limit many": "Invalid value for '--limit': it has to be a whole number",
    "items s1 --limit -1": "Invalid value for '--limit': it has to be at least 0",
    "call chat say {} --timeout soon": "Invalid value for '--timeout': it has to be a number",
    "state get user ada --user bob": "No such option: --user",
    "tail r1 --typ item.done": "No such option: --typ (Possible options: --type)",
    "items --session s1": "No such option: --session; the session is named without it, as SESSION_ID",
    "watch s1 --session s1": "No such option: --session; the session is named without it, as SESSION_ID",
    "call chat say {} s1": "Got unexpected extra argument(s) (s1); a session? --session s1",
    "requests list s1": "a session? --session s1",
    "watch": "Missing argument 'SESSION_ID'.",
    "journal s1": "No such command 's1'. Did you mean flowstate journal list s1?",
    "requests r1": "Did you mean flowstate requests show r1?",
    "state get s1": "'s1' is not one of 'session', 'user', 'org'; whose it is comes first, as in: session s1",
    "state get": "Missing argument 'SCOPE'. Choose from:",
    "state delete u1": "'u1' is not one of 'user', 'org'; whose it is comes first, as in: user ada",
    "serve app:app --port 80": "No such option: --port; where to listen: --listen HOST:PORT",
    "tail r1 --timeout 5": "No such option: --timeout; the shell has a command for it: timeout 60 flowstate ...",
    "requests list --status suspended": "'suspended' is not one of",
}


@pytest.mark.parametrize("typed", TYPED)
def test_what_was_typed_wrongly(typed: str) -> None:
    done = flowstate(*typed.split(), COLUMNS="80")
    assert (done.code, done.stdout) == (2, "")
    told = " ".join(done.stderr.replace("\u2502", " ").split())
    assert TYPED[typed] in told
    assert "Value error" not in told
    if "user bob" in typed or "planet" in typed:
        assert "Possible options" not in told
        assert "did you mean" not in told


def test_paragraphs_of_a_help_are_as_wide_as_the_terminal() -> None:
    told = [line.rstrip() for line in flowstate("call", "--help", COLUMNS="80").stdout.splitlines()]
    assert " told on stderr as soon as it has been dispatched, with --detach on stdout." in told
