"""`pgrepl goto` and `pgrepl reset`: the cluster as it is at the beginning of a chapter."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...doors import terminal
from ...errors import ParameterError, PgreplError
from ...params import Params
from ...words.text import mark, t
from ..group import EPILOG, main, option
from ..options import JSON, YES, Given, existing_cluster, parameters, values, with_made
from ..output import give
from ..question import agreed_on
from ..running import execute_up_to

if TYPE_CHECKING:
    from ...journal.audit import Journal
    from ...steps.cluster import Cluster

PRIMARY_ALONE = "02"  # the chapter that begins so; those before it begin with nothing
AT = mark("project {project} is at the beginning of chapter {chapter} ({seconds} s)")
LOST = mark("all of it is removed, with its data, but for the runs' evidence")
REFUSED = mark("Nothing was changed: the data would be lost, and that was not confirmed.")
IN_THE_WAY = mark("the cluster as it is cannot be led back: {reason}")
WAYS = mark(
    "to have all of it removed, `pgrepl goto {chapter} --yes`; `pgrepl goto 03`, or a later "
    "chapter, keeps the data"
)
NOWHERE = mark("No chapter of project {project} has been executed yet.")


@main.command(epilog=EPILOG)
@parameters
@click.argument("chapter")
@option("--exercise", "number", type=int, default=0, help="And of this exercise of the chapter.")
@YES
@JSON
def goto(given: Given, chapter: str, number: int, yes: bool, as_json: bool) -> None:
    """Make the cluster what it is at the beginning of CHAPTER (such as 06), whatever it is now."""
    _go(given, chapter, number, yes, as_json)


@main.command(epilog=EPILOG)
@parameters
@YES
@JSON
def reset(given: Given, yes: bool, as_json: bool) -> None:
    """Go back to the beginning of the chapter that was executed last."""
    from ...journal.audit import RUNS, Journal

    cluster = existing_cluster(given, must_exist=False)
    last = _last_chapter(Journal.of_project(cluster.folder), cluster.folder / RUNS)
    if not last:
        cause = t(NOWHERE, project=cluster.params.project)
        raise ParameterError(cause, remedy=cluster.addressed(t("name one: `pgrepl goto 01`")))
    _go(given, last, 0, yes, as_json)


def _last_chapter(journal: Journal, runs: Path) -> str:
    """The one that was executed last, in a notebook or by a run; empty for none."""
    from ...journal.audit import Journal
    from ...journal.chapter import ALL

    last = ""
    for entry in journal.entries():
        found = entry.get("chapter")
        if entry["kind"] == "run" and journal.in_pieces:
            found = _last_chapter(Journal(runs / str(entry.get("run"))), runs)
        if found in ALL:
            last = found
    return last


def _go(given: Given, chapter: str, number: int, yes: bool, as_json: bool) -> None:
    from ...exercises.chapters.all import numbered

    begun, cluster = time.monotonic(), existing_cluster(given, must_exist=False)
    name, exercise = _named(chapter), ""
    if number:
        exercise = numbered(cluster, name[:2], number).name
    if exercise or name[:2] > PRIMARY_ALONE:
        _whole(given, yes, name[:2])
    else:
        _removed(cluster, yes, name[:2])
        if name[:2] == PRIMARY_ALONE:
            execute_up_to(with_made(values(given)), "01")
    cluster = existing_cluster(given, must_exist=False)
    cluster.journal.record("goto", chapter=name)
    told = _begun(cluster, exercise)
    seconds = round(time.monotonic() - begun, 1)
    facts = {"project": cluster.params.project, "chapter": name, "seconds": seconds}
    give(as_json, {**facts, "exercise": exercise}, "\n".join([t(AT, **facts), *told]))


def _named(chapter: str) -> str:
    """A chapter by its number or its name; raises `ParameterError`."""
    from ...journal.chapter import ALL, chapters_between

    try:
        return chapters_between(chapter, chapter, ALL)[0]
    except ValueError as error:
        remedy = t("name one by its number, such as 06")
        raise ParameterError(str(error), remedy=remedy) from None


def _begun(cluster: Cluster, exercise: str) -> list[str]:
    """Begin the exercise, if there is one; what is told of it."""
    from ...exercises import workshop

    if not exercise:
        return []
    return [workshop.reset(cluster, exercise).text()]


def _whole(given: Given, yes: bool, place: str) -> None:
    """A verified primary with as many replicas as the parameter says, which is one by default."""
    from ...exercises import beginning

    cluster = existing_cluster(given, must_exist=False)
    if beginning.is_set_up(cluster):
        try:
            _led_back(cluster, Params.parse(values(given)).replicas)
            return
        except PgreplError as error:
            terminal.tell(t(IN_THE_WAY, reason=str(error)))
            _removed(existing_cluster(given), yes, place)
    execute_up_to(with_made(values(given)), "03")


def _led_back(cluster: Cluster, replicas: int) -> None:
    """Without losing what the primary has; raises `PgreplError` if it does not become healthy."""
    from ...checks.checks import SET_UP
    from ...exercises import workshop
    from ...steps.checking import examine, failure

    workshop.end(cluster, replicas)
    for name in SET_UP:
        made = examine(cluster, name)
        if not made.passed:
            raise failure(made.title, made.expected, made.seen, made.hint)


def _removed(cluster: Cluster, yes: bool, place: str) -> None:
    """Nothing is left of it; raises `ParameterError` where nobody agreed to that."""
    there: Any = cluster.existing()
    if not there:
        return
    if not agreed_on(cluster, yes, *there, t(LOST)):
        remedy = cluster.addressed(t(WAYS, chapter=place))
        raise ParameterError(t(REFUSED), remedy=remedy)
    cluster.remove(confirm=True)
