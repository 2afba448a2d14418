"""What a run is to do: which chapters, with which parameters.

Anew, or going on with one that did not complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ParameterError
from ..journal import runs
from ..journal.chapter import OPERATE, SET_UP, chapters_between
from ..params import Params
from ..words.commands import addressed
from ..words.text import mark, t

OTHER = mark("{name}: it had {had}, asked for {asked}")


@dataclass(frozen=True)
class Task:
    """Parameters, chapters, and the name of the run that is gone on with (empty: none)."""

    values: dict[str, Any]
    chapters: list[str]
    resumes: str = ""


def fresh(given: Mapping[str, Any], first: str, last: str) -> Task:
    """The chapters from one to another, by default those that set a cluster up."""
    return Task(dict(given), _between(first or SET_UP[0], last or SET_UP[-1]))


def unfinished(given: Mapping[str, Any], first: str, last: str) -> Task:
    """All chapters of the project's last run once more, with its parameters.

    No chapters where it completed. Its steps that are done stay done. given, first, last: must be
    what that run had, where they are given. Raises `ParameterError` where they are not, and where
    there is no run.
    """
    params = Params.parse(given)
    run = _last(params)
    begun = run.opening
    had = {**begun["params"], "workdir": str(params.workdir)}  # the folder may have been moved
    chapters = list(begun["chapters"])
    wanted = _between(first or chapters[0], last or chapters[-1])
    if differing := _differing(had, given, chapters, wanted):
        raise ParameterError(
            t("Run {run} had other parameters; nothing was touched.", run=run.name),
            looked_at=differing,
            remedy=addressed(t("leave them out, or run anew: `pgrepl run`"), params),
        )
    return Task(had, [] if run.status == "completed" else chapters, run.name)


def _last(params: Params) -> runs.Run:
    """The project's last run that left a journal: without one it has done nothing."""
    run = (runs.of_project(params.folder) or [runs.find(params.folder)])[-1]
    if not run.opening.get("params") or not run.opening.get("chapters"):
        raise ParameterError(
            t("The journal of run {run} does not say what it was to do.", run=run.name),
            looked_at=[str(run.folder)],
            remedy=addressed(t("run anew: `pgrepl run`"), params),
        )
    return run


def _differing(
    had: Mapping[str, Any], given: Mapping[str, Any], chapters: list[str], wanted: list[str]
) -> list[str]:
    """What is asked for now that a run did not have."""
    before, asked = Params.parse(had).plain(), Params.parse({**had, **given}).plain()
    found: list[str] = [
        t(OTHER, name=n, had=before[n], asked=asked[n]) for n in before if asked[n] != before[n]
    ]
    if wanted != chapters:
        found.append(t(OTHER, name="chapters", had=", ".join(chapters), asked=", ".join(wanted)))
    return found


def _between(first: str, last: str) -> list[str]:
    try:
        return chapters_between(first, last, (*SET_UP, *OPERATE))
    except ValueError as error:
        raise ParameterError(error.args[0], remedy=t("name one of those")) from None
