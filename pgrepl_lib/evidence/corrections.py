"""The corrections of the document that chapters make, each told in a callout at its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ..journal.chapter import cells
from ..journal.runs import Chapter
from ..words.text import Text
from . import template

CALLOUT = re.compile(r"^> \*\*Correção (\d+)\.\*\* ", re.M)


@dataclass(frozen=True, order=True)
class Correction:
    """A correction: number, what is wrong, what is done instead (Markdown), chapter and cell."""

    number: int
    wrong: str
    done: str
    chapter: str
    cell: str


def told() -> dict[int, tuple[Text, Text]]:
    """What is wrong and what is done instead (Markdown), of each correction by its number."""
    found = template.unescaped().get_template("corrections.md.j2").make_module()
    return dict(vars(found)["told"])


def made_by(chapter: Chapter) -> list[Correction]:
    """Those that this chapter made; of an unfinished one those before its last step or check."""
    callouts, places = _callouts(chapter.name)
    texts = told()
    reached = max((places.get(str(e.get("cell")), -1) for e in chapter.entries), default=-1)
    return [
        Correction(number, *texts[number], chapter.name, cell)
        for number, cell in callouts
        if chapter.status == "completed" or places[cell] <= reached
    ]


@cache
def _callouts(chapter: str) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """The callouts of a chapter as it is shipped, by number and cell; each cell's place."""
    shipped = cells(chapter)
    found = [
        (int(number), cell["id"])
        for cell in shipped
        if cell["cell_type"] == "markdown"
        for number in CALLOUT.findall("".join(cell["source"]))
    ]
    return found, {cell["id"]: place for place, cell in enumerate(shipped)}
