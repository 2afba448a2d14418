"""`make outputs`: execute the chapters, and their exercises, on a new cluster and store what they show in the notebooks.

Usage: store_outputs.py [NAME=VALUE …]; the parameters are those of the chapters, such as engine=docker image=NAME.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

sys.path.insert(0, str(Path(__file__).parents[2]))
from pgrepl_lib import open_cluster
from tests.notebooks.chapters import CHAPTERS, NOTEBOOKS
from tests.notebooks.exercises import FOLDER


def main(parameters: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, FOLDER.name).mkdir()
        for chapter in (*CHAPTERS[:-1], *exercises(), CHAPTERS[-1]):
            executed = Path(name) / f"{chapter}.ipynb"
            papermill.execute_notebook(
                NOTEBOOKS / f"{chapter}.ipynb", executed, parameters, progress_bar=False
            )
            store(chapter, nbformat.read(executed, 4))
            print(f"stored {chapter}")
    open_cluster("", **parameters).remove(confirm=True)


def exercises() -> list[str]:
    """Their notebooks, in the order of the chapters."""
    return [f"{FOLDER.name}/{path.stem}" for path in sorted(FOLDER.glob("*.ipynb"))]


def store(chapter: str, executed: nbformat.NotebookNode) -> None:
    """Copy outputs by cell id, numbered as a person who runs the chapter from its top would see them."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    notebook = nbformat.read(path, 4)
    by_id = {c.id: c for c in executed.cells if c.cell_type == "code"}
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.outputs = [with_official_image(with_count(o, count)) for o in by_id[cell.id].outputs]
        cell.execution_count = count
    nbformat.write(notebook, path)


def with_official_image(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """In commands, the image that a reader will type; the table of versions keeps the one that was used."""
    for kind, text in output.get("data", {}).items():
        output.data[kind] = re.sub(
            r"(?s)```console.*?```", lambda m: m[0].replace("pgrepl-standin:", "postgres:"), text
        )
    return output


def with_count(output: nbformat.NotebookNode, count: int) -> nbformat.NotebookNode:
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[1:]))
