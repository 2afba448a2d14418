"""A journal's lines as they are read: it may come from anywhere, and hold anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..doors.files import MOST
from ..words.text import mark
from . import audit, pieces

NO_RECORDS = (
    mark("1 of its lines is no record, or of a shape that no run writes"),
    mark("{count} of its lines are no records, or of a shape that no run writes"),
)
DEEPEST = 20  # levels of a line's values; the deepest of ours has 6


def _is(*types: type) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, types)

    return fits


_text = _is(str, type(None))


def _instances(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_instance, value.values()))


def _instance(facts: Any) -> bool:
    return isinstance(facts, dict) and _text(facts.get("role")) and _text(facts.get("upstream"))


def _list_of(type_: type) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, type_) for each in value)

    return fits


def _has_a_float(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) < 2**53


MEANT_TO_FAIL = "expected to fail"  # the outcome of a drill's step that failed on purpose
TEXTS = ("time", "local_time", "chapter", "cell", "name", "title", "outcome", "error", "run")
# What readers of a journal rely on, where a line has it at all; the rest may be anything.
SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("kind", "status"), _is(str)),
    **dict.fromkeys((*TEXTS, "language"), _text),
    **dict.fromkeys(("params", "packages", "facts"), _is(dict)),
    **dict.fromkeys(("repository", "port"), _is(dict, type(None))),
    **dict.fromkeys(("passed", "tried"), _is(bool)),
    "chapters": _list_of(str),
    "seconds": _has_a_float,
    "instances": _instances,
    "commands": _list_of(dict),
}


def usable(line: bytes) -> dict[str, Any] | None:
    """A line of a journal, where it has the shape that its readers rely on; else None."""
    entry = pieces.record(line)
    if "kind" not in entry or not _shallow(entry, DEEPEST):
        return None
    fits = all(SHAPES[name](value) for name, value in entry.items() if name in SHAPES)
    return entry if fits else None


def _shallow(value: dict[str, Any] | list[Any], levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value
    deeper = (each for each in inside if isinstance(each, (dict, list)))
    return levels > 0 and all(_shallow(each, levels - 1) for each in deeper)


def read(journal: audit.Journal) -> tuple[list[dict[str, Any]], int]:
    """A journal's usable lines, and how many of the complete ones are not.

    No run writes as much as `MOST`: what comes after that counts as one line that is no record.
    """
    found, odd, size = list[dict[str, Any]](), 0, 0
    for line in journal.lines():
        size += len(line)
        if size > MOST:
            return found, odd + 1
        entry = usable(line)
        if entry is None:
            odd += 1
        else:
            found.append(entry)
    return found, odd


def seconds(entry: Mapping[str, Any]) -> float:
    """How long a line says that it took; 0 where it says nothing that can be."""
    given = entry.get("seconds")
    if isinstance(given, (int, float)) and math.isfinite(given):
        return max(0.0, float(given))
    return 0.0


def check_verdict(check: Mapping[str, Any]) -> str:
    """passed, failed or not tried: what a journal's line says of a check."""
    if check.get("passed") is not True:
        return "failed"
    return "not tried" if check.get("tried") is False else "passed"
