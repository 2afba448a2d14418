"""The runs of a project: their folders, in the order in which they began, and how each ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import audit, lock
from .errors import ParameterError

RUNS = "runs"  # beside the cluster's files: what a run leaves stays when the cluster is removed


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
        failed = (e for e in self.entries if e.get("outcome") in ("failed", "interrupted") or e.get("passed") is False)
        return next((e for e in failed if e.get("cell") == cell), {})


@dataclass(frozen=True)
class Run:
    """One run's folder and what its journal says."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name: when it began, by the clock of then."""
        return self.folder.name

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first."""
        return list(audit.Journal(self.folder).entries())

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
        """completed, failed or interrupted, as its end says; without one running or killed; manual: it is of no run."""
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
        verdicts = Counter(c.get("passed") is True for c in self.of("check"))
        return {"steps": {o: outcomes[o] for o in ("changed", "unchanged", "failed", "interrupted")},
                "checks": {"passed": verdicts[True], "failed": verdicts[False]}}  # fmt: skip


def of_project(folder: Path) -> list[Run]:
    """A project's runs, the oldest first: by the order in its journal, since a machine's clock may be set back."""
    there = {p.name: p for p in sorted((folder / RUNS).glob("*/")) if (p / audit.FILE).exists()}
    begun = [e["run"] for e in audit.Journal(folder).entries() if e["kind"] == "run"]
    ordered = [n for n in there if n not in begun] + [n for n in begun if n in there]
    return [Run(there[n]) for n in ordered]


def find(folder: Path, wanted: str = "") -> Run:
    """The run of a project by its name, or of any folder by its path; without either the last one.

    Raises `ParameterError` where there is none.
    """
    known = of_project(folder)
    if wanted and (Path(wanted) / audit.FILE).exists():
        return Run(Path(wanted).resolve())
    found = [r for r in known if r.name == wanted] if wanted else known[-1:]
    if not found:
        raise ParameterError(f"No run {wanted!r}." if wanted else "There is no run yet.",
                             looked_at=[f"{folder / RUNS} holds: {', '.join(r.name for r in known[-5:]) or 'no run'}"],
                             remedy="pgrepl runs lists them; a folder with a journal can be given by its path")  # fmt: skip
    return found[0]
