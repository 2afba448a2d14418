"""The labels that say whose a cluster's things are: what a person would type for them makes the same `.env`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pgrepl_lib.engine import owner, services
from pgrepl_lib.engine.processes import owner_of


@pytest.mark.parametrize("name", ["plain-folder_1", 'd\'água $x `y` #1 "z" 100%'])
def test_the_displayed_command_adds_the_same_lines(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    labels = owner.labels("made", folder, owner_of(folder))
    subprocess.run(["sh", "-euc", services.owner_command(labels)], cwd=folder, check=True)
    project_id, *rest = (folder / ".env").read_text().splitlines()
    assert rest == services.owner_lines(labels).splitlines()[1:]
    assert len(project_id.removeprefix("PGREPL_ID=")) == 32
    made = owner.Thing("volume", "x_primary", labels, "x_primary")
    assert made.whose() == f"of the cluster in {folder}, made by {folder.owner()}"
