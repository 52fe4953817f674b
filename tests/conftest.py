"""For all tests: what is loaded to run them stays, so that no collection of garbage visits it."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Half a million objects of modules and tests: each collection of all of them took as long as a dozen tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """For code that is to be found too slow: collections, of any thread, do not count as its time, and those of what
    tests have left may take as long as the code sleeps."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
