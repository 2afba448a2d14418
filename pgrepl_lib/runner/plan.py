"""What a run would change, step by step, with nothing touched: the chapters' own cells.

They run as ever, with the hands that only plan (`steps/planning.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from ..doors import ahead
from ..doors.resources import NOTEBOOKS
from ..params import Params
from ..steps.cluster import HANDS
from ..steps.planning import Planned, Planning


def plan(values: Mapping[str, Any], chapters: Sequence[str]) -> list[Planned]:
    """What a run of these chapters would do now, in order.

    values: the parameters as given. Raises what `open_cluster` does for parameters that a run would
    refuse, and `StepFailed` while a change of roles has not ended.
    """
    params, planning = Params.parse(values), Planning()
    given = {**params.plain(), "workdir": str(params.workdir)}

    def hands() -> Planning:
        return planning

    token = HANDS.set(hands)
    try:
        with ahead.look_ahead(), redirect_stdout(StringIO()):  # what cells print is not known yet
            for chapter in chapters:
                _execute(chapter, given, planning)
    finally:
        HANDS.reset(token)
    return planning.planned


def _execute(chapter: str, given: Mapping[str, Any], planning: Planning) -> None:
    """The code cells of a chapter; the parameters follow the cell that is tagged so."""
    namespace: dict[str, Any] = {}
    planning.chapter = chapter
    for cell in json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        planning.cell = cell["id"]
        exec(compile("".join(cell["source"]), f"{chapter}, {planning.cell}", "exec"), namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            namespace |= given
