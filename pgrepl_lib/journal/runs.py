"""The runs of a project: their folders, in the order in which they began, and how each ended."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..doors.files import MOST
from ..errors import ParameterError
from ..params import Params
from ..words.commands import addressed
from . import audit, lock, pieces

RUNS = "runs"  # beside the cluster's files: what a run leaves stays when the cluster is removed
SUMMARY = "summary.json"  # of a run: what its journal says, for those who do not read that
NAME = re.compile(r"\w[\w.+-]*")  # of a run: one folder, and no way out of it
DEEPEST = 20  # levels of a line's values; the deepest of ours has 6


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _instances(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(facts, dict) and _text(facts.get("role")) and _text(facts.get("upstream"))
        for facts in value.values()
    )


def _commands(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(command, dict) for command in value)


# What those who read a journal rely on, where a line has it at all; everything else may be anything.
SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("kind", "status"), _is(str)),
    **dict.fromkeys(
        ("time", "local_time", "chapter", "cell", "name", "title", "outcome", "error", "run"), _text
    ),
    **dict.fromkeys(("params", "packages", "facts"), _is(dict)),
    **dict.fromkeys(("repository", "port"), _is(dict, type(None))),
    **dict.fromkeys(("passed", "tried"), _is(bool)),
    "chapters": lambda value: (
        isinstance(value, list) and all(isinstance(chapter, str) for chapter in value)
    ),
    "seconds": lambda value: (
        not isinstance(value, int) or abs(value) < 2**53
    ),  # no greater one has a float
    "instances": _instances,
    "commands": _commands,
}


def usable(line: bytes) -> dict[str, Any] | None:
    """A line of a journal, where it is a record with the shape that its readers rely on; else None."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = (
        isinstance(entry, dict)
        and "kind" in entry
        and all(SHAPES[n](v) for n, v in entry.items() if n in SHAPES)
    )
    return entry if known and _shallow(entry, DEEPEST) else None


def _shallow(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(
        _shallow(v, levels - 1) for v in inside if isinstance(v, (dict, list))
    )


def _read(journal: audit.Journal) -> tuple[list[dict[str, Any]], int]:
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


def check_verdict(check: Mapping[str, Any]) -> str:
    """passed, failed or not tried: what a journal's line says of a check."""
    return (
        "failed"
        if check.get("passed") is not True
        else "not tried"
        if check.get("tried") is False
        else "passed"
    )


@dataclass
class Chapter:
    """What a journal says of one chapter, or of what was done outside any: its lines, when it began and how it ended."""

    name: str
    status: str = ""
    error: str = ""
    began: str = ""
    ended: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its lines of one kind: step, check, engine or another fact."""
        return [e for e in self.entries if e["kind"] == kind]

    def stopped_by(self) -> dict[str, Any]:
        """The step or check of its last cell that stopped it; empty where none did: a drill's step fails on purpose."""
        if not self.entries or self.status == "completed":
            return {}
        cell = self.entries[-1].get("cell")
        failed = (
            e
            for e in self.entries
            if e.get("outcome") in ("failed", "interrupted") or e.get("passed") is False
        )
        return next((e for e in failed if e.get("cell") == cell), {})


@dataclass(frozen=True)
class Run:
    """One run's folder and what its journal says.

    ending: the line that its journal ends with as soon as all other evidence is there.
    """

    folder: Path
    ending: str = ""

    @property
    def name(self) -> str:
        """The folder's name: when it began, by the clock of then."""
        return self.folder.name

    @property
    def own_name(self) -> str:
        """The name that the run was given, which a copy's folder need not have; of an older journal the folder's."""
        return str(self.opening.get("name") or self.name)

    @property
    def journal(self) -> audit.Journal:
        """Its journal."""
        return audit.Journal(self.folder, self.ending)

    @property
    def there(self) -> bool:
        """Whether its folder holds a journal."""
        return self.journal.path.is_file()

    @cached_property
    def _lines(self) -> tuple[list[dict[str, Any]], int]:
        return _read(self.journal)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first, without those that are no records."""
        return self._lines[0]

    @property
    def unusable(self) -> int:
        """How many complete lines of the journal are no records, or have a shape that no run writes."""
        return self._lines[1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The lines of one kind: run, chapter, engine, step, check, state or end."""
        return [e for e in self.entries if e["kind"] == kind]

    def first(self, kind: str) -> dict[str, Any]:
        """The first line of a kind; empty where there is none."""
        return next(iter(self.of(kind)), {})

    @property
    def opening(self) -> dict[str, Any]:
        """The line that a run begins with; empty in the journal of work that no run did."""
        return next((e for e in self.of("run") if "chapters" in e), {})

    @property
    def status(self) -> str:
        """completed, failed or interrupted, as its end says; without one running or killed.

        missing: its folder or its journal is not there. manual: the journal is of no run.
        """
        if not self.there:
            return "missing"
        if end := self.first("end"):
            return str(end.get("status"))
        if not self.opening:
            return "manual"
        if (lock.run_holder(self.folder.parent.parent) or {}).get("run") == self.name:
            return "running"
        end = Run(self.folder).first("end")  # it may have ended between the two looks
        return str(end.get("status")) if end else "killed"

    @cached_property
    def chapters(self) -> list[Chapter]:
        """The journal's lines by chapter, in their order; also the chapters of the run that were not reached."""
        found = {name: Chapter(name) for name in self.opening.get("chapters", [])}
        current = ""
        for entry in (e for e in self.entries if e["kind"] not in ("run", "state", "end")):
            current = str(entry.get("chapter") or current)
            chapter = found.setdefault(current, Chapter(current))
            if entry["kind"] != "chapter":
                chapter.entries.append(entry)
            elif entry.get("status") == "running":
                chapter.status, chapter.began = "running", str(entry.get("time"))
            else:
                chapter.status, chapter.ended = str(entry.get("status")), str(entry.get("time"))
                chapter.error = str(entry.get("error", ""))
        for chapter in (c for c in found.values() if c.status == "running"):
            chapter.status = self.status  # it stopped without saying so
        return list(found.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """How many steps and checks ended how."""
        outcomes = Counter(s.get("outcome") for s in self.of("step"))
        verdicts = Counter(map(check_verdict, self.of("check")))
        untried = {"not_tried": verdicts["not tried"]} if verdicts["not tried"] else {}
        return {
            "steps": {o: outcomes[o] for o in ("changed", "unchanged", "failed", "interrupted")},
            "checks": {"passed": verdicts["passed"], "failed": verdicts["failed"], **untried},
        }


def known(folder: Path) -> list[Run]:
    """The runs that a project's journal or its folder knows, the oldest first; some may be missing.

    The order is that of the project's journal, since a machine's clock may be set back. Runs that it does not name come
    first; but where it is damaged, by their name, which is when they began.
    """
    journal = audit.Journal.of_project(folder)
    named = pieces.all_runs(journal.path)
    ordered = list(dict.fromkeys(name for name in named if NAME.fullmatch(name)))
    there = sorted(p.name for p in (folder / RUNS).glob("*/") if Run(p).there)
    unnamed = [name for name in there if name not in ordered]
    if unnamed and journal.first_broken_line():
        for name in unnamed:
            ordered.insert(
                next((place for place, other in enumerate(ordered) if other > name), len(ordered)),
                name,
            )
    else:
        ordered = unnamed + ordered
    return [Run(folder / RUNS / name) for name in ordered]


def of_project(folder: Path) -> list[Run]:
    """The project's runs whose journal is there, the oldest first."""
    return [run for run in known(folder) if run.there]


def find(folder: Path, wanted: str = "") -> Run:
    """The run of a project by its name, or of any folder by its path; without either the last one.

    Raises `ParameterError` where there is none, and where its journal is missing: never another run instead.
    """
    if wanted and (Path(wanted) / audit.FILE).exists():
        return Run(Path(wanted).resolve())
    all_known = known(folder)
    found = [r for r in all_known if r.name == wanted] if wanted else all_known[-1:]
    if found and found[0].there:
        return found[0]
    cause = (
        f"The journal of run {found[0].name} is missing."
        if found
        else f"No run {wanted!r}."
        if wanted
        else "There is no run yet."
    )
    shown = ", ".join(r.name for r in all_known[-5:] if r.there)
    remedy = "`pgrepl runs` lists them; a folder with a journal can be given by its path"
    looked_at = [f"{folder / RUNS} holds: {shown or 'no run'}"]
    raise ParameterError(
        cause, looked_at=looked_at, remedy=addressed(remedy, Params.of_folder(folder))
    )
