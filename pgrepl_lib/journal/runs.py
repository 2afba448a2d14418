"""The runs of a project: their folders, in the order in which they began, and how each ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ParameterError
from ..params import Params
from ..words.commands import addressed
from ..words.language import PORTUGUESE
from ..words.language import known as language_of
from ..words.text import Text, t
from . import audit, lock, pieces, records
from .records import MEANT_TO_FAIL, check_verdict

SUMMARY = "summary.json"  # of a run: what its journal says, for those who do not read that
NAME = re.compile(r"\w[\w.+-]*")  # of a run: one folder, and no way out of it


@dataclass
class Chapter:
    """What a journal says of one chapter, or of what was done outside any.

    Its lines, when it began and how it ended; ending: its last line, with the error that it had.
    """

    name: str
    status: str = ""
    began: str = ""
    ended: str = ""
    ending: dict[str, Any] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def error(self) -> str:
        """What stopped it; empty where nothing did."""
        return audit.said(self.ending, "error")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its lines of one kind: step, check, engine or another fact."""
        return [e for e in self.entries if e["kind"] == kind]

    def stopped_by(self) -> dict[str, Any]:
        """The step or check of its last cell that stopped it; empty where none did.

        Before its last cell a step may fail: a drill's does, on purpose.
        """
        if not self.entries or self.status == "completed":
            return {}
        cell = self.entries[-1].get("cell")
        last = (e for e in self.entries if e.get("cell") == cell)
        return next((e for e in last if _stops(e)), {})


def _stops(entry: Mapping[str, Any]) -> bool:
    return entry.get("outcome") in ("failed", "interrupted") or entry.get("passed") is False


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
        """The name that the run was given, where its journal says it; a copy may have another."""
        return str(self.opening.get("name") or self.name)

    @property
    def language(self) -> str:
        """The language of the report that it was signed with."""
        return language_of(str(self.opening.get("language"))) or PORTUGUESE

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
        return records.read(self.journal)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first, without those that are no records."""
        return self._lines[0]

    @property
    def unusable(self) -> int:
        """How many complete lines are no records, or have a shape that no run writes."""
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
        """The journal's lines by chapter, in their order; also chapters that were not reached."""
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
                chapter.ending = entry
        for chapter in (c for c in found.values() if c.status == "running"):
            chapter.status = self.status  # it stopped without saying so
        return list(found.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """How many steps and checks ended how."""
        outcomes = Counter(s.get("outcome") for s in self.of("step"))
        verdicts = Counter(map(check_verdict, self.of("check")))
        checks = {verdict: verdicts[verdict] for verdict in ("passed", "failed")}
        if verdicts["not tried"]:
            checks["not_tried"] = verdicts["not tried"]
        steps = {o: outcomes[o] for o in ("changed", "unchanged", "failed", "interrupted")}
        if meant := outcomes[MEANT_TO_FAIL]:
            steps["expected_to_fail"] = meant
        return {"steps": steps, "checks": checks}


def known(folder: Path) -> list[Run]:
    """The runs that a project's journal or its folder knows, the oldest first; some may be missing.

    The order is that of the project's journal, since a machine's clock may be set back. Runs that
    it does not name come first; but where it is damaged, by their name, which is when they began.
    """
    journal = audit.Journal.of_project(folder)
    named = pieces.all_runs(journal.path)
    ordered = list(dict.fromkeys(name for name in named if NAME.fullmatch(name)))
    there = sorted(p.name for p in (folder / audit.RUNS).glob("*/") if Run(p).there)
    unnamed = [name for name in there if name not in ordered]
    if unnamed and journal.first_broken_line():
        for name in unnamed:
            later = (place for place, other in enumerate(ordered) if other > name)
            ordered.insert(next(later, len(ordered)), name)
    else:
        ordered = unnamed + ordered
    return [Run(folder / audit.RUNS / name) for name in ordered]


def of_project(folder: Path) -> list[Run]:
    """The project's runs whose journal is there, the oldest first."""
    return [run for run in known(folder) if run.there]


def find(folder: Path, wanted: str = "") -> Run:
    """The run of a project by its name, or of any folder by its path; without either the last one.

    Raises `ParameterError` where there is none, and where its journal is missing: never another
    run instead.
    """
    if wanted and (Path(wanted) / audit.FILE).exists():
        return Run(Path(wanted).resolve())
    all_known = known(folder)
    found = [r for r in all_known if r.name == wanted] if wanted else all_known[-1:]
    if found and found[0].there:
        return found[0]
    shown = ", ".join(r.name for r in all_known[-5:] if r.there) or t("no run")
    looked_at = [t("{folder} holds: {runs}", folder=folder / audit.RUNS, runs=shown)]
    remedy = t("`pgrepl runs` lists them; a folder with a journal can be given by its path")
    raise ParameterError(
        _not_found(found, wanted),
        looked_at=looked_at,
        remedy=addressed(remedy, Params.of_folder(folder)),
    )


def _not_found(found: list[Run], wanted: str) -> Text:
    if found:
        return t("The journal of run {run} is missing.", run=found[0].name)
    if wanted:
        return t("No run {wanted!r}.", wanted=wanted)
    return t("There is no run yet.")
