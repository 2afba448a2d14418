"""The tables of states: every cell of a state in which something may be lost names a command."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from pgrepl_lib.cli.main import main
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover
from tests.remedies import commands_in

DOCS = Path(__file__).parents[2] / "docs"
TEXTS = {name: (DOCS / name).read_text("utf-8") for name in ("states.md", "estados.md")}
WITHOUT = r"not needed|nothing was|left behind|cut off|não é nec|nada foi|fica para|desligada"


def rows(name: str, heading: str) -> dict[str, list[str]]:
    """The cells of a section's table by the state in the first one."""
    section = re.split(r"^## ", TEXTS[name], flags=re.M)
    (table,) = [part for part in section if part.startswith(f"{heading}\n")]
    lines = re.findall(r"^\| (.+) \|$", table, re.M)[1:]
    return {cells[0]: cells[1:] for cells in (line.split(" | ") for line in lines)}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("change", [Switchover, Failover])
def test_each_step_of_a_change_of_roles_is_a_state_with_its_ways_out(
    name: str, change: type[Switchover | Failover]
) -> None:
    table = rows(name, change.kind)
    assert list(table)[1:] == list(change.TITLES), "not begun, then each step"
    for state, cells in table.items():
        assert len(cells) == 4, state
        for cell in cells:
            assert commands_in(cell) or re.match(WITHOUT, cell), f"{state}: {cell}"


def test_a_verb_that_changes_a_cluster_has_its_row() -> None:
    (table,) = [
        p for p in re.split(r"^## ", TEXTS["states.md"], flags=re.M) if p.startswith("The other")
    ]
    named = set(re.findall(r"^\| (\w+) \|", table, re.M))
    group = main.commands["replica"]
    assert isinstance(group, click.Group)
    assert named >= {"run", "down", "sync", "rejoin", *group.commands}
