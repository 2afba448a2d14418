"""The exercises' notebooks are what the definitions make, and executed they go as each is meant to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pgrepl_lib import open_cluster

from . import exercises
from .chapters import prepared
from .compared import execute, parameters
from .test_chapters import NOTEBOOKS

NAMES = sorted(f"exercicios/{p.stem}" for p in exercises.FOLDER.glob("*.ipynb"))


def test_they_are_made_from_the_definitions() -> None:
    made = exercises.notebooks()
    assert [path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in made] == NAMES
    for path, notebook in made.items():
        stored = nbformat.read(path, 4)
        for cell, wanted in zip(stored.cells, notebook.cells, strict=True):
            told = f"{path.name}, cell {wanted.id}: make it anew: `make exercises`"
            assert (cell.id, cell.source) == (wanted.id, wanted.source), told


@pytest.mark.parametrize("name", NAMES)
def test_code_cells_are_short(name: str) -> None:
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 5, cell.id


@pytest.mark.long
@pytest.mark.timeout(900)
def test_executed_they_begin_are_solved_and_right(
    engine_name: str,
    workdir: Path,
    free_network: Callable[[], str],
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    given: dict[str, Any] = parameters(engine_name, workdir, free_network(), free_port())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "exercicios").mkdir()
    chapters = ("00-preparacao", "01-instancia-primaria", "02-instancia-replica")
    copies = [prepared(name, tmp_path, given) for name in (*chapters, *NAMES)]
    try:
        assert execute(copies, tmp_path) > 6 * len(exercises.ALL)
    finally:
        open_cluster("", **given).remove(confirm=True)
