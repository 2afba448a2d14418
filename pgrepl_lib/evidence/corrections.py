"""The corrections of the document that chapters make, each told in a callout at its place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from ..doors.resources import NOTEBOOKS
from ..journal.runs import Chapter

CALLOUT = re.compile(r"^> \*\*Correção (\d+)\.\*\* (.+(?:\n>(?! \*\*Correção).*)*)", re.M)
SENTENCE = re.compile(r".+?\.(?=\s|$)", re.S)
ROW = re.compile(
    r"^\| (\d+) \|.*\| (.+?) \|[^|]*\|$", re.M
)  # of the table in the notebooks' README


@dataclass(frozen=True)
class Correction:
    """A correction: number, what is wrong and what is done instead (Markdown), and where: chapter and cell."""

    number: int
    wrong: str
    done: str
    chapter: str
    cell: str


def made_by(chapter: Chapter) -> list[Correction]:
    """Those that this chapter made: all, or where it did not come to its end those before its last step or check."""
    told, places = _told(chapter.name)
    reached = max((places.get(str(e.get("cell")), -1) for e in chapter.entries), default=-1)
    return [c for c in told if chapter.status == "completed" or places[c.cell] <= reached]


@cache
def _told(chapter: str) -> tuple[list[Correction], dict[str, int]]:
    """The callouts of a chapter as it is shipped, and the place of each of its cells."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not re.fullmatch(r"[\w-]+", chapter) or not path.exists():
        return [], {}
    done = dict(ROW.findall((NOTEBOOKS / "README.md").read_text("utf-8")))
    cells = json.loads(path.read_text("utf-8"))["cells"]
    found = []
    for cell in (c for c in cells if c["cell_type"] == "markdown"):
        for number, text in CALLOUT.findall("".join(cell["source"])):
            sentence = SENTENCE.match(re.sub(r"\s*\n> ?", " ", text))
            found.append(
                Correction(
                    int(number),
                    sentence[0] if sentence else text,
                    done.get(number, ""),
                    chapter,
                    cell["id"],
                )
            )
    return found, {c["id"]: place for place, c in enumerate(cells)}
