"""`pgrepl exercise`: what a workshop's participant does with the exercises."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ...doors import terminal
from ...words.text import t
from ..group import EPILOG, main
from ..options import JSON, Given, existing_cluster, parameters
from ..output import give, print_table

if TYPE_CHECKING:
    from ...exercises.workshop import Told

SHOWN = ("number", "exercise", "title", "status", "hints", "minutes")


@main.group()
def exercise() -> None:
    """Do the exercises of a workshop: each is checked by a look at the cluster."""


def of_one(command: Any) -> Any:
    """A verb for one exercise, by its name or number."""
    return exercise.command(epilog=EPILOG)(parameters(click.argument("name")(JSON(command))))


@exercise.command("list", epilog=EPILOG)
@parameters
@JSON
def list_all(given: Given, as_json: bool) -> None:
    """List all exercises, and how far each is on this cluster."""
    from ...exercises import workshop

    rows = workshop.listing(existing_cluster(given, must_exist=False))
    if as_json:
        give(True, rows, "")
        return
    print_table([{name: row[name] for name in SHOWN} for row in rows])


@of_one
def start(given: Given, name: str, as_json: bool) -> None:
    """Bring the cluster to the beginning of the exercise NAME, and show the task."""
    from ...exercises import workshop

    _give(as_json, workshop.start(existing_cluster(given), name))


@of_one
def check(given: Given, name: str, as_json: bool) -> None:
    """Say what is right already, what is missing, and where to look; 0 where all is right."""
    from ...exercises import workshop

    told = workshop.check(existing_cluster(given), name)
    _give(as_json, told)
    sys.exit(int(not told.facts["right"]))


@of_one
def hint(given: Given, name: str, as_json: bool) -> None:
    """Give the next hint."""
    from ...exercises import workshop

    _give(as_json, workshop.hint(existing_cluster(given), name))


@exercise.command(epilog=EPILOG)
@parameters
@click.argument("name")
@click.argument("answer")
@JSON
def answer(given: Given, name: str, answer: str, as_json: bool) -> None:
    """Leave your ANSWER, where the exercise NAME asks for one; `check` looks at it."""
    from ...exercises import workshop

    _give(as_json, workshop.answer(existing_cluster(given), name, answer))


@of_one
def solve(given: Given, name: str, as_json: bool) -> None:
    """Solve the exercise, and show by which commands."""
    from ...exercises import workshop

    _give(as_json, workshop.solve(existing_cluster(given), name))


@of_one
def reset(given: Given, name: str, as_json: bool) -> None:
    """Bring back the exercise's beginning, whatever was done since."""
    from ...exercises import workshop

    _give(as_json, workshop.reset(existing_cluster(given), name))


@exercise.command(epilog=EPILOG)
@parameters
@click.argument("names", nargs=-1)
@JSON
def test(given: Given, names: tuple[str, ...], as_json: bool) -> None:
    """Try the exercises NAMES, or all: begun, not right yet, solved, right; with seconds."""
    from ...exercises import trial

    rows: list[dict[str, Any]] = []
    for row in trial.run(existing_cluster(given), names):
        rows.append(row)
        if not as_json:
            terminal.give(_line(row))
    if as_json:
        give(True, rows, "")
    sys.exit(int(any(row["outcome"] != "passed" for row in rows)))


def _line(row: dict[str, Any]) -> str:
    """An exercise that was tried."""
    sign = {"passed": "✔", "failed": "✘"}[row["outcome"]]
    taken = ", ".join(" ".join([t(w), f"{s:.1f} s"]) for w, s in row["seconds"].items())
    return "\n    ".join(filter(None, [f"{sign} {row['exercise']}  {taken}", row["why"]]))


def _give(as_json: bool, told: Told) -> None:
    give(as_json, told.facts, told.text())
