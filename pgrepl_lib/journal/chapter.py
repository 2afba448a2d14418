"""The chapters: their files, and which cell of one is running now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..doors.resources import NOTEBOOKS
from ..words.text import t

SET_UP = ("00-preparacao", "01-instancia-primaria", "02-instancia-replica", "03-verificacao")
OPERATE = (
    "04-monitoramento",
    "05-falhas",
    "06-switchover",
    "07-failover",
    "08-sincrona",
    "09-seguranca",
)
LAST = "99-limpeza"
ALL = (*SET_UP, *OPERATE, LAST)
EXERCISES = "exercicios"  # the folder with their notebooks, one for each of these chapters
OURS = (*ALL, *(f"{EXERCISES}/{name}" for name in (*SET_UP[1:], *OPERATE)))


def chapters_between(first: str, last: str, known: Sequence[str]) -> list[str]:
    """The chapters from one to another, each by its number or its name. Raises `ValueError`."""

    def place(name: str) -> int:
        found = [i for i, c in enumerate(known) if c == name or c.split("-")[0] == name.zfill(2)]
        if not found:
            there = ", ".join(known)
            raise ValueError(t("no chapter {name!r}; there are {known}", name=name, known=there))
        return found[0]

    return list(known[place(first) : place(last) + 1])


@cache
def cells(chapter: str) -> list[dict[str, Any]]:
    """The cells of a chapter, or of its exercises, as they are shipped; none of anything else."""
    if chapter not in OURS:
        return []
    return list(json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"])


@cache
def _ids(chapter: str) -> dict[str, str]:
    code = (cell for cell in cells(chapter) if cell["cell_type"] == "code")
    return {"".join(cell["source"]).strip(): cell.get("id", "") for cell in code}


def cell_id(chapter: str) -> str:
    """The id of the cell that runs now, found by its source: not every front end says it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not shell:
        return ""
    history = shell.user_ns.get("In", [""])
    return _ids(chapter).get(history[-1].strip(), "")
