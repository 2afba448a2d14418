"""`make parameters`: each chapter's cell of parameters, made from `pgrepl_lib/params.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[2]))
from pgrepl_lib.params import Params
from pgrepl_lib.words.language import PORTUGUESE, speaking
from pgrepl_lib.words.text import t
from tests.notebooks.chapters import CHAPTERS, NOTEBOOKS

# What a chapter asks for besides.
OWN = {"99-limpeza": ["confirmar = False  # True remove o cluster e os seus dados"]}
MADE_LATER = {"image": "", "workdir": ""}  # of another parameter, and of who asks


def source(chapter: str) -> str:
    """The cell's text: a line for each parameter, with its default and what it means."""
    defaults = {**Params().plain(), **MADE_LATER}
    with speaking(PORTUGUESE):
        lines = [
            f"{name} = {json.dumps(defaults[name])}  # {t(field.description or '')}"
            for name, field in Params.model_fields.items()
        ]
    return "\n".join([*lines, *OWN.get(chapter, [])])


def main() -> None:
    for chapter in CHAPTERS:
        path = NOTEBOOKS / f"{chapter}.ipynb"
        notebook = nbformat.read(path, 4)
        (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
        if cell.source != source(chapter):
            cell.source = source(chapter)
            nbformat.write(notebook, path)
            print(f"changed {chapter}")


if __name__ == "__main__":
    main()
