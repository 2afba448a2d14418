"""The chapters: their files, and which cell of one is running now."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SET_UP = ("00-preparacao", "01-instancia-primaria", "02-instancia-replica", "03-verificacao")


@cache
def _cells(chapter: str) -> dict[str, str]:
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not chapter or not path.exists():
        return {}
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return {"".join(c["source"]).strip(): c.get("id", "") for c in cells if c["cell_type"] == "code"}


def cell_id(chapter: str) -> str:
    """The id of the cell that runs now, found by its source: front ends differ in whether they say it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    history = shell.user_ns.get("In", [""]) if shell else [""]
    return _cells(chapter).get(history[-1].strip(), "")
