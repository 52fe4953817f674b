"""Which checks an adapter keeps, as the table of its README."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import getdoc
from sys import modules

from flowstate_server.testing.store_contract.capabilities import Capability, Provided
from flowstate_server.testing.store_contract.catalogue import Check

HEADING = "## Conformance"
_SECTION = re.compile(rf"^{HEADING}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)

Needs = Mapping[Check, frozenset[Capability]]


def capability_table(needs: Needs, adapters: Mapping[str, Provided]) -> str:
    """A markdown table: a row for each subject of the suite, a column for each adapter.

    ``needs`` are those of :func:`~.capabilities.needs_of_checks`. A cell says how many of the checks the adapter keeps
    and, if not all, why the others do not apply. That the others pass is for a test to say.
    """
    lines = [f"| what is proved | {' | '.join(adapters)} |", "|---" * (len(adapters) + 1) + "|"]
    for subject in dict.fromkeys(check.__module__ for check in needs):
        checks = [check for check in needs if check.__module__ == subject]
        title = (getdoc(modules[subject]) or subject).split("\n")[0].removesuffix(".")
        cells = (_cell(checks, needs, provided) for provided in adapters.values())
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(checks: Sequence[Check], needs: Needs, provided: Provided) -> str:
    reasons: dict[str, None] = {}
    kept = 0
    for check in checks:
        missing = [reason for need in sorted(needs[check]) if (reason := provided[need])]
        kept += not missing
        reasons |= dict.fromkeys(missing)
    if not reasons:
        return f"all {len(checks)}"
    return f"{kept} of {len(checks)}: {'; '.join(reasons)}"


def section_of(readme: str) -> str | None:
    """The section :data:`HEADING` of a README, if there is one."""
    found = _SECTION.search(readme)
    return None if found is None else found.group().rstrip() + "\n"


def new_section(needs: Needs, adapter: str, provided: Provided, command: str) -> str:
    """The section as it ought to be; ``command`` is how it is made again."""
    kept = sum(all(not provided[need] for need in wanted) for wanted in needs.values())
    told = f"Keeps all {kept} checks of `flowstate_server.testing.store_contract`."
    if kept < len(needs):
        told = f"{told.removesuffix('.')} that apply, of {len(needs)}.".replace("all ", "the ")
    table = capability_table(needs, {adapter: provided})
    return f"{HEADING}\n\n{told}\n\n{table}\nThis section is written by `{command}`.\n"


def with_section(readme: str, section: str) -> str:
    """The README with its section replaced, or added at the end."""
    if section_of(readme) is None:
        return f"{readme.rstrip()}\n\n{section}"
    return _SECTION.sub(lambda _: f"{section}\n", readme).rstrip() + "\n"
