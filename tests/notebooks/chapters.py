"""The chapters with parameters of a test's own, as papermill would prepare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = tuple(sorted(p.stem for p in NOTEBOOKS.glob("[0-9]*.ipynb")))


def prepared(chapter: str, folder: Path, parameters: dict[str, Any]) -> Path:
    """A copy of the chapter, stored outputs included, with these parameters injected."""
    notebook = parameterize_notebook(
        load_notebook_node(str(NOTEBOOKS / f"{chapter}.ipynb")), parameters
    )
    target = folder / f"{chapter}.ipynb"
    nbformat.write(notebook, target)
    return target
