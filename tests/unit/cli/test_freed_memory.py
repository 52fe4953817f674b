from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PASSING = """
import resource
from flowstate_server.cli.freed_memory import keep_freed_memory

def pass_content():
    pieces = [bytearray(1024 * 1024) for _ in range(5)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def faults_of_content():
    pass_content()
    before = faults()
    for _ in range(20):
        pass_content()
    return faults() - before

without = faults_of_content()
keep_freed_memory()
print(without, faults_of_content())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_content_has_passed_through_is_used_again() -> None:
    told = subprocess.run([sys.executable, "-c", PASSING], capture_output=True, text=True, check=True)
    without, kept = map(int, told.stdout.split())
    assert kept < without / 10
