"""Which cell of a chapter makes a name that another one uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..journal.chapter import OURS, cells


@dataclass(frozen=True)
class Binding:
    """A cell that gives a name its value.

    code: the line that does it; section: the heading that it stands below; number: of the cell.
    """

    code: str
    section: str
    number: int


def binding(chapter: str, source: str, name: str) -> Binding | None:
    """Where a name is made: the nearest cell above the one with this source, else the first.

    chapter: empty or another name where it is not known.
    """
    for each in _chapters(chapter, source):
        if found := list(_bindings(each, name)):
            number = _number(each, source)
            above = [b for b in found if b.number < number]
            return (above or found[:1])[-1]
    return None


def _chapters(chapter: str, source: str) -> list[str]:
    """This one; where it is unknown, first those that have a cell with this source."""
    if chapter in OURS:
        return [chapter]
    having = [each for each in OURS if _number(each, source) >= 0]
    return [*having, *OURS]


def _number(chapter: str, source: str) -> int:
    """The cell with this source, by its number; -1 where the chapter has none."""
    same = (n for n, c in enumerate(cells(chapter)) if "".join(c["source"]).strip() == source)
    return next(same, -1)


def _bindings(chapter: str, name: str) -> Iterator[Binding]:
    section = ""
    for number, cell in enumerate(cells(chapter)):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            made = (s for s in ast.parse(source).body if name in _names(s))
            if statement := next(made, None):
                code = source.splitlines()[statement.lineno - 1]
                yield Binding(code.partition("  #")[0], section, number)
        elif source.startswith("#"):
            section = source.splitlines()[0].lstrip("# ")


def _names(statement: ast.stmt) -> Iterator[str]:
    """What a statement gives a value to."""
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
