"""Whether a run has its place in its project: known there, after its predecessor, the last."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from ...journal import audit, pieces, runs
from ...journal.runs import Run
from ...words import outcomes
from ...words.text import joined, mark, t
from .attestation import standing
from .findings import Finding
from .statements import STATEMENT, Predecessor, RunFacts

PROJECTS = "../../"  # the project's folder, from the run's
GONE = mark(
    "is missing: this run was signed as going on from it (it was {status}, with {lines} lines)"
)
NOT_AS_SIGNED = mark("is not what this run was signed as going on from: {differing}")
BETWEEN = mark("comes between this run and {run}, which this run was signed as going on from")
DIFFERS = {  # of what was signed of a predecessor
    "status": mark("status is {now}, was {before}"),
    "lines": mark("lines is {now}, was {before}"),
    "last": mark("last is {now}, was {before}"),
}


def project_of(run: Run) -> Path | None:
    """The folder of the project that a run lies in; None for a copy elsewhere."""
    project = run.folder.parent.parent
    inside = run.folder.parent.name == audit.RUNS and (project / audit.FILE).is_file()
    return project if inside else None


def of_run(run: Run, signed: RunFacts, project: Path) -> Iterator[Finding]:
    """What is wrong with the place that a run has in its project."""
    if (signed.run, signed.project) != (run.name, project.name):
        names = {"run": run.name, "project": project.name}
        what = t(
            "is of run {signed} of project {of}, not of run {run} of {project}",
            signed=signed.run,
            of=signed.project,
            **names,
        )
        yield Finding(STATEMENT, what)
        return
    before = [*takewhile(lambda other: other.name != run.name, runs.known(project))]
    if signed.predecessor:
        yield from _goes_on_from(signed.predecessor, before)
    else:
        yield from _begins_anew(before)


def _goes_on_from(signed: Predecessor, before: list[Run]) -> Iterator[Finding]:
    """The run before must be the signed one; one that is gone is told as that alone."""
    where = f"{audit.RUNS}/{signed.run}"
    found = next((other for other in before if other.name == signed.run), None)
    if found is None or not found.there:
        status = outcomes.said(signed.status)
        yield Finding(where, t(GONE, status=status, lines=signed.lines))
        return
    if differing := _differing(signed, found):
        yield Finding(where, t(NOT_AS_SIGNED, differing=joined(", ", differing)))
    for other in (o for o in before[before.index(found) + 1 :] if o.there):
        yield Finding(f"{audit.RUNS}/{other.name}", t(BETWEEN, run=signed.run))


def _differing(signed: Predecessor, found: Run) -> list[str]:
    now, before = standing(found).model_dump(), signed.model_dump()
    return [
        t(told, now=outcomes.said(str(now[name])), before=outcomes.said(str(before[name])))
        for name, told in DIFFERS.items()
        if now[name] != before[name]
    ]


def _begins_anew(before: list[Run]) -> Iterator[Finding]:
    """The run before, if it is still there, must be a completed one."""
    if not before or not before[-1].there:
        return
    if (status := standing(before[-1]).status) != "completed":
        what = t(
            "is {status}, and this run was not signed as going on from it",
            status=outcomes.said(status),
        )
        yield Finding(f"{audit.RUNS}/{before[-1].name}", what)


def as_last(run: Run, project: Path) -> Iterator[Finding]:
    """Why this may not be the project's last run: nobody signs the project's journal."""
    journal = audit.Journal.of_project(project)
    broken = list(journal.broken())
    for piece, what, line in broken:
        unsure = t("{what}, so it is not sure which run is the last: name one", what=what)
        yield Finding(f"{PROJECTS}{piece}", unsure, line)
    if not broken and run.name not in pieces.all_runs(journal.path):
        unsure = t(
            "does not name run {run}, so it is not sure which run is the last: name one",
            run=run.name,
        )
        yield Finding(f"{PROJECTS}{audit.FILE}", unsure)
    for other in (o for o in runs.known(project) if not o.there and o.name != run.name):
        gone = t("is missing, or has no journal: the project's journal says that this run began")
        yield Finding(f"{audit.RUNS}/{other.name}", gone)
