"""How long a workshop's chapters take: reading at a steady pace, and the exercises as they were tried.

Usage: agenda.py [TRIAL.json]   (of `pgrepl exercise test --json >TRIAL.json`)
For each chapter: words, minutes to read them aloud in one's head, exercises, minutes for these: reading
the task, and SLACK for each to think and type; with a trial, what the machine takes of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pgrepl_lib.doors.resources import NOTEBOOKS
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.journal.chapter import ALL as CHAPTERS

PACE = 150  # words a minute: technical prose, with its code
SLACK = 8.0  # minutes for an exercise


def words(path: Path) -> int:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return sum(len("".join(cell["source"]).split()) for cell in cells)


def tried(file: str) -> dict[str, float]:
    rows = json.loads(Path(file).read_text("utf-8"))
    return {row["exercise"]: sum(row["seconds"].values()) for row in rows}


def main() -> None:
    seconds = tried(sys.argv[1]) if len(sys.argv) > 1 else {}
    print(f"{'chapter':24} {'words':>6} {'read':>6} {'exercises':>10} {'do':>6} {'machine':>8}")
    for chapter in CHAPTERS:
        mine = [e for e in ALL.values() if e.chapter == chapter[:2]]
        there = words(NOTEBOOKS / f"{chapter}.ipynb")
        tasks = NOTEBOOKS / "exercicios" / f"{chapter}.ipynb"
        do = words(tasks) / PACE + SLACK * len(mine) if mine else 0.0
        machine = sum(seconds.get(e.name, 0.0) for e in mine)
        print(
            f"{chapter:24} {there:6} {there / PACE:4.0f} m {len(mine):10} {do:4.0f} m {machine:6.0f} s"
        )


if __name__ == "__main__":
    main()
