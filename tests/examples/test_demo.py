from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from documents.demo_picture import PICTURE, words_of
from flowstate_server.testing.child_signals import with_default_signals

CHECKOUT = Path(__file__).parents[2]


def test_the_demo_goes_on_with_its_conversation_in_a_second_server(tmp_path: Path) -> None:
    done = subprocess.run(
        with_default_signals(sys.executable, "-m", "examples.chat.demo"),
        cwd=CHECKOUT,
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    first, second = done.stdout.split("== Second life")
    assert len(set(re.findall(r"process (\d+) on", done.stdout))) == 2
    assert re.findall(r"message_count = (\d)", first) == ["1", "2", "3", "3"]
    assert 'tone = "pirate"' in first
    assert "hidden  mode, topics" in first
    assert re.findall(r"message_count = (\d)", second) == ["3", "4", "1"]
    assert 'You began with "Hello!"' in second
    streamed = re.search(r"item\.delta x(\d+)", second)
    assert streamed is not None
    assert int(streamed.group(1)) > 1
    assert list(tmp_path.iterdir()) == []
    picture = " ".join(words_of(PICTURE.read_text("utf-8")))
    assert without_what_differs(picture) == without_what_differs(" ".join(done.stdout.split())), (
        "the picture in the README is another one: `make docs-pictures`"
    )


def without_what_differs(shown: str) -> str:
    """Processes, ports, folders, ids, and into how many pieces the answer was streamed."""
    return re.sub(
        r"process \d+|127\.0\.0\.1:\d+|flowstate-demo-\w+|sess_\w+|item\.delta x\d+|/\S*?(?=/flowstate-demo)",
        "",
        shown,
    )


def test_in_trouble_the_demo_shows_the_log_of_the_server(tmp_path: Path) -> None:
    done = subprocess.run(
        with_default_signals(sys.executable, "-m", "examples.chat.demo"),
        cwd=CHECKOUT,
        env={"TMPDIR": str(tmp_path), "FLOWSTATE_LEASE": "soon"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "FLOWSTATE_LEASE" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
