"""A project's journal in pieces: closed files of a bounded size, and the one that is written.

A piece but the first begins with a line that carries, as every line does, the hash of the line
before, which is the last one of the piece before, and names the runs that the pieces before it tell
of. So who lists the runs reads the newest piece only, however many years of checks there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..doors.files import complete_lines, make_folder, move

FOLDER = "journal"  # beside the file that is written
NAME = re.compile(r"(\d{6,9})\.jsonl")
FULL = 8 * 1024**2  # bytes besides the first line: a piece that has them is closed
MOST_PIECES = 10**9
OPENING = "piece"  # the kind of the line that a piece begins with


def closed(written: Path) -> dict[int, Path]:
    """The closed pieces by number, the oldest first. written: the file that is written now."""
    there = (written.parent / FOLDER).glob("*.jsonl")
    numbered = {int(found[1]): path for path in there if (found := NAME.fullmatch(path.name))}
    return dict(sorted(numbered.items()))


def name(number: int) -> str:
    """Where a closed piece lies, seen from the folder of the file that is written."""
    return f"{FOLDER}/{number:06d}.jsonl"


def close_full(written: Path) -> None:
    """Close the piece that is written, where it is full."""
    if not written.is_file() or written.stat().st_size < FULL:
        return
    first = next(complete_lines(written), b"")
    if first and written.stat().st_size - len(first) >= FULL:
        make_folder(written.parent / FOLDER)
        number = max(_number(first), max(closed(written), default=0) + 1)
        move(written, written.parent / name(number))


def begun(piece: Path) -> bool:
    """Whether there is a whole line in it."""
    return piece.is_file() and next(complete_lines(piece), None) is not None


def _number(first: bytes) -> int:
    """The number that a piece's first line gives it; 0 where it says none."""
    number = record(first).get("number")
    if isinstance(number, int) and 0 < number < MOST_PIECES:
        return number
    return 0


def before(first: bytes) -> str:
    """The hash of the line before, as a piece's first line says; empty for every other line."""
    entry = record(first)
    if entry.get("kind") != OPENING:
        return ""
    return str(entry.get("previous"))


def in_order(written: Path) -> Iterator[tuple[int, str, Path]]:
    """All pieces, the oldest first: number, name seen from the project's folder, path."""
    last = 0
    for last, path in closed(written).items():
        yield last, name(last), path
    if begun(written):
        first = next(complete_lines(written))
        yield max(_number(first), last + 1), written.name, written


def all_runs(written: Path) -> list[str]:
    """The runs that the whole journal tells of, in the order in which they began."""
    newest = list(closed(written).values())[-1:]
    if begun(written):
        newest = [written]
    return [run for piece in newest for run in runs(piece)]


def runs(piece: Path) -> list[str]:
    """The runs that a piece, and those before it, tell of, in the order in which they began."""
    found: list[str] = []
    for line in complete_lines(piece):
        if b'"run' in line:  # few lines are worth a parser: most are of checks
            found += _named(record(line))
    return found


def _named(entry: dict[str, Any]) -> Iterator[str]:
    if entry.get("kind") == OPENING and isinstance(entry.get("runs"), list):
        yield from (run for run in entry["runs"] if isinstance(run, str))
    elif entry.get("kind") == "run" and isinstance(entry.get("run"), str):
        yield entry["run"]


def record(line: bytes) -> dict[str, Any]:
    """A line's facts; none where it is no record."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}
