"""Whether a run is the one that its project knows by its name, stands after the one that it goes on from, and is the last."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from ..journal import audit, pieces, runs
from ..journal.runs import RUNS, Run
from .attestation import STATEMENT, Predecessor, RunFacts

PROJECTS = "../../"  # the project's folder, from the run's
# A file, what is wrong with it and, in a journal, the line.
Told = tuple[str, str] | tuple[str, str, int | None]


def project_of(run: Run) -> Path | None:
    """The folder of the project that a run lies in; None for a copy elsewhere."""
    project = run.folder.parent.parent
    return project if run.folder.parent.name == RUNS and (project / audit.FILE).is_file() else None


def of_run(run: Run, signed: RunFacts, project: Path) -> Iterator[Told]:
    """What is wrong with the place that a run has in its project."""
    if (signed.run, signed.project) != (run.name, project.name):
        yield (
            STATEMENT,
            f"is of run {signed.run} of project {signed.project}, not of run {run.name} of {project.name}",
        )
        return
    before = [*takewhile(lambda other: other.name != run.name, runs.known(project))]
    yield from (
        _goes_on_from(signed.predecessor, before) if signed.predecessor else _begins_anew(before)
    )


def _goes_on_from(signed: Predecessor, before: list[Run]) -> Iterator[Told]:
    """The run before must be the signed one. That a whole run is gone is told as that, and as nothing else."""
    where = f"{RUNS}/{signed.run}"
    was = "this run was signed as going on from"
    found = next((other for other in before if other.name == signed.run), None)
    if found is None or not found.there:
        yield where, f"is missing: {was} it (it was {signed.status}, with {signed.lines} lines)"
        return
    lines, last = found.journal.tally()
    now = {"status": _status(found), "lines": lines, "last": last}
    signed_as = signed.model_dump()
    if differing := [
        f"{name} is {value}, was {signed_as[name]}"
        for name, value in now.items()
        if value != signed_as[name]
    ]:
        yield where, f"is not what {was}: {', '.join(differing)}"
    for other in (o for o in before[before.index(found) + 1 :] if o.there):
        yield (
            f"{RUNS}/{other.name}",
            f"comes between this run and {signed.run}, which this run was signed as going on from",
        )


def _begins_anew(before: list[Run]) -> Iterator[Told]:
    """The run before, if it is still there, must be a completed one."""
    if before and before[-1].there and (status := _status(before[-1])) != "completed":
        yield (
            f"{RUNS}/{before[-1].name}",
            f"is {status}, and this run was not signed as going on from it",
        )


def _status(run: Run) -> str:
    """As it is signed of a predecessor: one that has not ended when the next one has begun was killed."""
    return str(run.first("end").get("status", "killed"))


def as_last(run: Run, project: Path) -> Iterator[Told]:
    """What keeps it from being sure that this is the project's last run: its journal is not signed, and runs may be gone."""
    journal = audit.Journal.of_project(project)
    unsure = "so it is not sure which run is the last: name one"
    broken = list(journal.broken())
    for piece, what, line in broken:
        yield f"{PROJECTS}{piece}", f"{what}, {unsure}", line
    if not broken and run.name not in pieces.all_runs(journal.path):
        yield f"{PROJECTS}{audit.FILE}", f"does not name run {run.name}, {unsure}"
    for other in (o for o in runs.known(project) if not o.there and o.name != run.name):
        yield (
            f"{RUNS}/{other.name}",
            "is missing, or has no journal: the project's journal says that this run began",
        )
