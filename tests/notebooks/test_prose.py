"""What the prose tells the reader to type can be typed: mypy reads it after the chapter's own cells."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
from mypy import api

from .chapters import CHAPTERS, NOTEBOOKS
from .exercises import FOLDER

PYPROJECT = NOTEBOOKS.parent / "pyproject.toml"
CACHE = NOTEBOOKS.parent / ".mypy_cache"  # of `make lint`: the library is read once
CELLS = "# mypy: disable-error-code=var-annotated"  # a parameter's {} needs no type there
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
OF_POSTGRESQL = re.compile(r"pg_\w+\(")


def typed(prose: str) -> list[str]:
    """The Python of a text: its fenced blocks, and the calls between backticks."""
    blocks = [code for language, code in FENCED.findall(prose) if language == "python"]
    inline = re.findall(r"`([^`\n]+)`", FENCED.sub("", prose))
    return blocks + [said for said in inline if _calls(said)]


def _calls(said: str) -> bool:
    if OF_POSTGRESQL.match(said):
        return False
    try:
        tree = ast.parse(said)
    except SyntaxError:
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def as_module(chapter: str) -> tuple[str, int]:
    """Everything there is to type in a chapter, its cells first, and how much of it is prose."""
    cells = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    prose = [said for c in cells if c.cell_type == "markdown" for said in typed(c.source)]
    return "\n".join([CELLS, *code, *prose, ""]), len(prose)


def test_what_the_prose_says_to_type_can_be_typed(tmp_path: Path) -> None:
    found, files = 0, []
    exercises = [f"{FOLDER.name}/{path.stem}" for path in sorted(FOLDER.glob("*.ipynb"))]
    for number, chapter in enumerate([*CHAPTERS, *exercises]):
        module, several = as_module(chapter)
        found += several
        files.append(tmp_path / f"notebook_{number}.py")
        files[-1].write_text(module, "utf-8")
    said, wrong, code = api.run(
        ["--config-file", str(PYPROJECT), "--cache-dir", str(CACHE), *map(str, files)]
    )
    assert found > 20
    assert code == 0, said + wrong
