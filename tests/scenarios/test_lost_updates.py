"""Declarative writes never lose an update and never conflict, whoever writes at the same time."""

from __future__ import annotations

import pytest

from tests.support.contention import CONTENTIONS, Contention, contend
from tests.support.fleets import Fleet


@pytest.mark.parametrize("contention", CONTENTIONS, ids=lambda contention: contention.id)
async def test_a_hundred_writers_all_land(contention: Contention, fleet: Fleet) -> None:
    await contend(contention, fleet)
